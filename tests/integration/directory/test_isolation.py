"""Nothing of one clinic shows in another, neither by code nor by row-level security (R33)."""

from uuid import UUID, uuid4

import grpc
import pytest
from sqlalchemy import text

from tests.support.grpc_world import failure, reason

_TABLES = (
    "clinics",
    "clinic_settings",
    "staff_members",
    "staff_emails",
    "account_owners",
    "profiles",
    "merges",
    "sessions",
    "search_terms",
    "source_identifiers",
    "requests",
    "outbox",
    "audit",
)


@pytest.fixture
async def stranger(world):
    """The owner of a clinic that has a row in every table."""
    owner = await world.clinic()
    pat, twin = [await owner.create_profile(name) for name in ("Pat", "Twin")]
    await owner.merge(twin, into=pat)
    owner.pat, owner.twin = pat, twin
    return owner


async def test_every_id_of_another_clinic_is_as_if_it_did_not_exist(world, owner, stranger):
    async def answer(method, **fields):
        error = await failure(owner.call(method, **fields))
        return error.code(), reason(error), str(error.details())

    theirs = {"staff_id": stranger.id, "profile_id": stranger.pat.profile_id}
    absent = {name: str(uuid4()) for name in theirs}

    for method in ("GetStaffMember", "DeactivateStaffMember", "TransferOwnership"):
        there = await answer(method, staff_id=theirs["staff_id"])
        assert there == await answer(method, staff_id=absent["staff_id"])
        assert there[0] is grpc.StatusCode.NOT_FOUND
    for method in ("GetProfile", "ListLikelyDuplicates", "ListSessions"):
        there = await answer(method, profile_id=theirs["profile_id"])
        assert there == await answer(method, profile_id=absent["profile_id"])
        assert there[0] is grpc.StatusCode.NOT_FOUND
    assert (await answer("CloseSession", session_id=stranger.session_id))[1] == "SESSION_NOT_FOUND"


async def test_lists_and_search_hold_nothing_of_another_clinic(world, owner, stranger):
    assert await owner.search("pat") == []
    assert not (await owner.call("ListMerges", include_undone=True)).merges
    staff = (await owner.call("ListStaffMembers")).staff_members
    assert [member.staff_id for member in staff] == [owner.id]


async def test_a_token_that_names_another_clinic_has_no_session_there(world, owner, stranger):
    owner.clinic_id = stranger.clinic_id

    assert reason(await failure(owner.call("GetClinic"))) == "SESSION_ENDED"


@pytest.mark.parametrize("table", _TABLES)
async def test_the_database_hides_the_other_clinic_from_a_query_without_a_filter(
    world, owner, stranger, table
):
    readable = [name for name in _TABLES if name not in ("outbox", "audit")]
    if table not in readable:
        assert await forbidden(world, table)
        return
    query = text(f"select count(*) from {table} where clinic_id = :stranger")
    parameters = {"stranger": UUID(stranger.clinic_id)}

    async def count(connection, _):
        return (await connection.execute(query, parameters)).scalar_one()

    mine = await world.database.transact(count, clinics=[UUID(owner.clinic_id)])
    nobodys = await world.database.transact(count)

    assert (mine, nobodys) == (0, 0)
    if table != "source_identifiers":
        assert await world.database.transact(count, clinics=[UUID(stranger.clinic_id)]) > 0


async def forbidden(world, table):
    """What the service may only add to, it cannot read."""

    async def read(connection, _):
        await connection.execute(text(f"select 1 from {table}"))

    try:
        await world.database.transact(read)
    except Exception as error:
        return "permission denied" in str(error)
    return False


async def test_the_database_takes_no_row_for_another_clinic(world, owner, stranger):
    async def write(connection, _):
        await connection.execute(
            text("update profiles set do_not_email = true where clinic_id = :id"),
            {"id": UUID(stranger.clinic_id)},
        )
        await connection.execute(
            text("""insert into source_identifiers (clinic_id, system, value, person_id)
                    values (:id, 's', 'v', :id)"""),
            {"id": UUID(stranger.clinic_id)},
        )

    with pytest.raises(Exception, match="row-level security"):
        await world.database.transact(write, clinics=[UUID(owner.clinic_id)])
    assert not (await stranger.profile(stranger.pat.profile_id)).do_not_email


async def test_audit_and_events_are_written_and_never_changed(world):
    for statement in (
        "update audit set actor = 'x'",
        "delete from audit",
        "update outbox set payload = ''",
        "delete from outbox",
    ):

        async def change(connection, _, statement=statement):
            await connection.execute(text(statement))

        with pytest.raises(Exception, match="permission denied"):
            await world.database.transact(change)
