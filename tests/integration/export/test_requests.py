"""Who may ask for an export, and who may know of it (R43 to R45, I25)."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from clinic.export.v1 import export_internal_service_pb2 as pb
from clinic.export.v1 import export_pb2
from clinic.export.v1 import export_service_pb2 as public_pb
from tests.support.grpc_world import bearer, failure, reason


async def listed(world, metadata, **fields):
    request = public_pb.ListExportsRequest(**fields)
    return await world.public.ListExports(request, metadata=metadata)


async def listed_by_ops(world, metadata=None, **fields):
    request = pb.ExportInternalServiceListExportsRequest(**fields)
    return await world.internal.ListExports(request, metadata=metadata or world.ops)


async def test_the_owner_sees_the_clinics_exports_newest_first_and_in_pages(world):
    owner, staff = await world.owner(), await world.staff()
    made = [await world.create(staff) for _ in range(3)]

    first = await listed(world, owner.metadata, page_size=2)
    second = await listed(world, owner.metadata, page_size=2, page_token=first.next_page_token)

    found = [*first.exports, *second.exports]
    assert [export.export_id for export in found] == [export.export_id for export in made[::-1]]
    assert second.next_page_token == ""


async def test_nobody_else_on_the_staff_sees_them(world):
    await world.owner()
    staff = await world.staff()

    error = await failure(listed(world, staff.metadata))

    assert reason(error) == "OWNER_REQUIRED"
    assert world.audit() == [("list_exports", "denied", "OWNER_REQUIRED")]


async def test_whoever_became_owner_a_moment_ago_is_not_refused(world):
    staff = await world.staff()
    world.change(replace(world.state_of(staff), account_owner=True))

    assert (await listed(world, staff.metadata)).exports == []


async def test_the_refusal_stands_where_the_directory_cannot_be_asked(world):
    staff = await world.staff()
    world.directory.reachable = False

    assert reason(await failure(listed(world, staff.metadata))) == "OWNER_REQUIRED"


async def test_an_ended_session_sees_nothing(world):
    owner = await world.owner()
    token = world.keys.person(acting=f"staff:{owner.id}", clinic_id=str(world.clinic_id))

    assert reason(await failure(listed(world, bearer(token)))) == "SESSION_ENDED"


async def test_a_patient_may_not_ask_for_the_list(world):
    token = world.keys.person(acting=f"profile:{uuid4()}", clinic_id=str(world.clinic_id))

    assert reason(await failure(listed(world, bearer(token)))) == "ROLE_NOT_ALLOWED"


async def test_the_owner_of_another_clinic_sees_none_of_them(world):
    await world.owner()
    export = await world.create(await world.staff())
    there = world.ops
    world.clinic_id = uuid4()
    await world.clinic()
    stranger = await world.owner()

    assert (await listed(world, stranger.metadata)).exports == []
    assert (await listed_by_ops(world)).exports == []
    assert reason(await failure(world.get(export))) == "EXPORT_NOT_FOUND"
    assert len((await listed_by_ops(world, there)).exports) == 1


async def test_a_page_token_belongs_to_its_reader(world):
    owner, staff = await world.owner(), await world.staff()
    for _ in range(2):
        await world.create(staff)
    token = (await listed(world, owner.metadata, page_size=1)).next_page_token

    error = await failure(listed_by_ops(world, page_token=token))

    assert reason(error) == "PAGE_TOKEN_INVALID"


@pytest.mark.parametrize("address", ["owner@clinic.test", " Owner@CLINIC.test\n"])
async def test_a_request_from_the_owners_own_address_counts(world, address):
    await world.owner()
    staff = await world.staff()

    export = await world.create(staff, address=address)

    assert export.state == export_pb2.EXPORT_STATE_APPROVED
    assert export.scope == export_pb2.EXPORT_SCOPE_STAFF_MEMBER
    assert export.staff_id == str(staff.id)
    assert world.audit() == [("create_export", "done", "")]


async def test_somebody_who_left_can_be_exported(world):
    await world.owner()
    departed = await world.staff(active=False, deactivation_id=uuid4())

    assert await world.create(departed)


@pytest.mark.parametrize(
    "address", ["owner+exports@clinic.test", "staff@clinic.test", "owner@clinic.tes", " "]
)
async def test_a_request_from_any_other_address_does_not(world, address):
    await world.owner()
    staff = await world.staff(address="staff@clinic.test")

    error = await failure(world.create(staff, address=address))

    assert reason(error) == "REQUESTER_NOT_OWNER"
    assert (await listed_by_ops(world)).exports == []
    assert world.audit() == [("create_export", "denied", "REQUESTER_NOT_OWNER")]


async def test_every_refusal_reads_the_same(world):
    staff = await world.staff(address="staff@clinic.test")
    await world.owner(address="")
    without_address = await failure(world.create(staff, address="staff@clinic.test"))
    unknown_staff = await failure(world.create(uuid4(), address="staff@clinic.test"))
    world.clinic_id = uuid4()
    no_clinic = await failure(world.create(staff, address="staff@clinic.test"))

    errors = [without_address, unknown_staff, no_clinic]
    assert {(error.code(), error.details(), reason(error)) for error in errors} == {
        (without_address.code(), without_address.details(), "REQUESTER_NOT_OWNER")
    }


async def test_the_address_is_kept_nowhere(world):
    await world.owner()
    staff = await world.staff()
    await world.create(staff)
    await failure(world.create(staff, address="stranger@elsewhere.test"))

    tables = world.execute("select tablename as name from pg_tables where schemaname = 'public'")
    rows = [
        row["row"].lower()
        for table in tables
        for row in world.execute(f"select t::text as row from {table['name']} as t")
    ]
    held = "".join(rows)

    assert str(staff.id) in held
    assert "clinic.test" not in held
    assert "elsewhere.test" not in held


async def test_who_was_owner_before_a_transfer_is_refused_though_the_news_is_late(world):
    before = await world.owner(address="before@clinic.test")
    after = await world.staff(address="after@clinic.test")
    world.change(replace(world.state_of(before), account_owner=False))
    world.change(replace(world.state_of(after), account_owner=True))

    early = await failure(world.create(before, address="before@clinic.test"))
    await world.tell(world.state_of(after))

    assert reason(early) == "UNAVAILABLE"
    assert await world.create(before, address="after@clinic.test")


async def test_a_directory_out_of_reach_is_not_a_refusal(world):
    await world.owner()
    staff = await world.staff()
    world.directory.reachable = False

    assert reason(await failure(world.create(staff))) == "UNAVAILABLE"


async def test_nobody_is_exported_who_is_not_on_the_staff(world):
    await world.owner()

    assert reason(await failure(world.create(uuid4()))) == "STAFF_MEMBER_NOT_FOUND"


async def test_a_whole_clinic_is_not_exported_yet(world):
    await world.owner()
    staff = await world.staff()

    error = await failure(world.create(staff, scope=export_pb2.EXPORT_SCOPE_CLINIC))

    assert reason(error) == "FIELD_INVALID"


async def test_a_repeat_returns_the_first_export_and_another_content_is_refused(world):
    await world.owner()
    staff, other = await world.staff(), await world.staff()
    request_id = str(uuid4())
    first = await world.create(staff, request_id=request_id)

    again = await world.create(staff, request_id=request_id)
    error = await failure(world.create(other, request_id=request_id))

    assert again == first
    assert reason(error) == "IDEMPOTENCY_MISMATCH"
    assert len((await listed_by_ops(world)).exports) == 1


async def test_the_cutoff_lies_six_minutes_before_the_request(world):
    await world.owner()

    export = await world.create(await world.staff())

    apart = export.create_time.ToDatetime() - export.cutoff_time.ToDatetime()
    assert apart == timedelta(minutes=6)


async def test_no_person_and_no_service_runs_exports(world):
    owner = await world.owner()
    service = bearer(world.keys.machine("service:directory"), clinic_id=str(world.clinic_id))
    request = pb.GetExportRequest(export_id=str(uuid4()))

    for metadata in (owner.metadata, service):
        error = await failure(world.internal.GetExport(request, metadata=metadata))
        assert reason(error) == "ROLE_NOT_ALLOWED"


async def test_ops_have_to_name_the_clinic(world):
    metadata = bearer(world.keys.machine("ops:support"))
    request = pb.GetExportRequest(export_id=str(uuid4()))

    error = await failure(world.internal.GetExport(request, metadata=metadata))

    assert reason(error) == "CLINIC_REQUIRED"


async def test_an_export_is_cancelled_once_and_only_before_it_is_built(world):
    await world.owner()
    staff = await world.staff()
    export = await world.create(staff)

    first, again = await world.cancel(export), await world.cancel(export)
    await world.build()

    assert first.state == again.state == export_pb2.EXPORT_STATE_CANCELLED
    assert await world.state(export) == "CANCELLED"
    assert world.audit().count(("cancel_export", "done", "")) == 1
    ready = await world.built(staff)
    assert reason(await failure(world.cancel(ready))) == "EXPORT_FINISHED"


async def test_row_level_security_hides_an_export_from_another_clinic(world):
    await world.owner()
    export = await world.create(await world.staff())

    async def count(connection, now):
        rows = await connection.exec_driver_sql("select id from exports")
        return [row.id for row in rows]

    assert await world.database.transact(count, clinics=[world.clinic_id]) == [
        UUID(export.export_id)
    ]
    assert await world.database.transact(count, clinics=[uuid4()]) == []
    assert await world.database.transact(count) == []
