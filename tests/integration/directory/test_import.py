"""People from files: created, changed, left alone, left out, merged; never twice."""

import asyncio
import json
from uuid import uuid4

import grpc
import pytest

from clinic.directory.v1 import directory_internal_service_pb2 as pb
from clinic.directory.v1 import profile_pb2
from clinic.directory.v1.directory_internal_service_pb2_grpc import DirectoryInternalServiceStub
from tests.support.grpc_world import failure, reason
from tests.support.rpcs import asked_again

HEADER = "external_id,display_name,email\n"


class Imported:
    """What an import answered."""

    def __init__(self, answers):
        *errors, last = answers
        self.errors = [
            (each.row_error.line, each.row_error.field, each.row_error.reason) for each in errors
        ]
        assert last.WhichOneof("outcome") == "summary"
        names = [field.name for field in last.summary.DESCRIPTOR.fields]
        counts = {name: getattr(last.summary, name) for name in names}
        self.counts = {name: count for name, count in counts.items() if count}


async def send(world, clinic_id, *parts):
    return await sent_as(world, world.as_machine("platform:gateway", clinic_id), *parts)


async def sent_as(world, metadata, *parts):
    stub = DirectoryInternalServiceStub(world.channel)

    async def ask():
        return [answer async for answer in stub.ImportProfiles(iter(parts), metadata=metadata)]

    return await asked_again(ask)


async def import_csv(world, owner, content, **header):
    return await import_file(world, owner, content, **header)


async def import_fhir(world, owner, *resources, **header):
    content = "".join(json.dumps(resource) + "\n" for resource in resources)
    header = {"format": pb.IMPORT_FORMAT_FHIR_NDJSON} | header
    return await import_file(world, owner, content, **header)


async def import_file(world, owner, content, **header):
    given = {
        "format": pb.IMPORT_FORMAT_CSV,
        "source_system": "ehr",
        "request_id": str(uuid4()),
    } | header
    data = content.encode()
    chunks = [data[at : at + 40_000] for at in range(0, len(data), 40_000)]
    parts = [pb.ImportProfilesRequest(chunk=chunk) for chunk in chunks]
    first = pb.ImportProfilesRequest(header=given)
    return Imported(await send(world, owner.clinic_id, first, *parts))


def a_patient(id, name="Pat Doe", **elements):
    return {"resourceType": "Patient", "id": id, "name": [{"text": name}]} | elements


def replaced(id, by, **elements):
    link = {"type": "replaced-by", "other": {"reference": f"Patient/{by}"}}
    return a_patient(id, link=[link], **elements)


async def found(owner, query):
    return {hit.profile.display_name: hit.profile for hit in await owner.search(query)}


async def test_a_file_sent_twice_changes_nothing_the_second_time(world, owner):
    content = HEADER + "".join(f"{n},Person {n},p{n}@x.test\n" for n in range(450))

    first = await import_csv(world, owner, content)
    second = await import_csv(world, owner, content)

    assert first.counts == {"rows": 450, "created": 450}
    assert second.counts == {"rows": 450, "unchanged": 450}
    assert len((await owner.call("SearchProfiles", query="person", page_size=200)).results) == 200


async def test_a_known_row_changes_what_differs_and_nothing_else(world, owner):
    await import_csv(world, owner, HEADER + "1,Ann Doe,ann@x.test\n2,Bo Roe,bo@x.test\n")
    ann = (await found(owner, "ann"))["Ann Doe"]
    await owner.update_profile(ann.profile_id, preferred_name="Annie", do_not_email=True)

    again = await import_csv(world, owner, HEADER + "1,Ann Dane,ann@x.test\n2,Bo Roe,bo@x.test\n")

    assert again.counts == {"rows": 2, "updated": 1, "unchanged": 1}
    now = await owner.profile(ann.profile_id)
    assert (now.display_name, now.preferred_name, now.do_not_email) == ("Ann Dane", "Annie", True)
    assert [state.version for state in world.events_of(ann.profile_id)] == [1, 2, 3]
    assert await found(owner, "dane")


async def test_an_imported_profile_is_a_state_like_any_other(world, owner):
    await import_csv(world, owner, HEADER + "1,Ann Doe,ann@x.test\n")
    ann = (await found(owner, "ann"))["Ann Doe"]

    [state] = world.events_of(ann.profile_id)

    assert state == await world.state(owner.clinic_id, profile_id=ann.profile_id)
    assert (state.version, state.kind) == (1, profile_pb2.PROFILE_KIND_PATIENT)
    assert ("import_profiles", "done", "") in world.audited(owner.clinic_id)


async def test_bad_rows_are_told_by_line_field_and_reason_and_the_others_are_taken(world, owner):
    content = (
        "external_id,display_name,email,phone,birth_date\n"
        "1,Ann Doe,ann@x.test,555-0100,1980-01-01\n"
        "2,,,,\n"
        "3,Bo\x07,,,\n"
        "4,Cy,not an address,,\n"
        "5,Di,,call me,\n"
        "6,Ed,,,1980-13-01\n"
        "7,Flo\n"
        "8,Gus,,,\n"
    )

    imported = await import_csv(world, owner, content)

    assert imported.errors == [
        (3, "display_name", pb.IMPORT_ROW_REASON_NAME_INVALID),
        (4, "display_name", pb.IMPORT_ROW_REASON_NAME_INVALID),
        (5, "email", pb.IMPORT_ROW_REASON_EMAIL_INVALID),
        (6, "phone", pb.IMPORT_ROW_REASON_PHONE_INVALID),
        (7, "birth_date", pb.IMPORT_ROW_REASON_BIRTH_DATE_INVALID),
        (8, "", pb.IMPORT_ROW_REASON_MALFORMED),
    ]
    assert imported.counts == {"rows": 8, "created": 2, "failed": 6}


async def test_the_same_id_twice_in_a_file_is_one_profile_as_the_later_row_says(world, owner):
    imported = await import_csv(world, owner, HEADER + "1,Ann Doe,\n1,Ann Dane,\n1,Ann Dane,\n")

    assert imported.counts == {"rows": 3, "created": 1, "updated": 1, "unchanged": 1}
    assert list(await found(owner, "ann")) == ["Ann Dane"]


async def test_the_same_id_of_another_system_is_somebody_else(world, owner):
    await import_csv(world, owner, HEADER + "1,Ann Doe,\n", source_system="ehr")
    await import_csv(world, owner, HEADER + "1,Ann Roe,\n", source_system="front-desk")

    assert set(await found(owner, "ann")) == {"Ann Doe", "Ann Roe"}


async def test_a_dry_run_answers_as_if_it_had_saved_and_saves_nothing(world, owner):
    content = HEADER + "1,Ann Doe,\n2,,\n"

    dry = await import_csv(world, owner, content, dry_run=True)

    assert dry.counts == {"rows": 2, "created": 1, "failed": 1}
    assert await found(owner, "ann") == {}
    assert (await import_csv(world, owner, content)).counts == dry.counts


async def test_two_imports_of_one_file_at_once_make_each_person_once(world, owner):
    content = HEADER + "".join(f"{n},Person {n},\n" for n in range(60))

    first, second = await asyncio.gather(*(import_csv(world, owner, content) for _ in range(2)))

    assert first.counts.get("created", 0) + second.counts.get("created", 0) == 60
    assert len(await owner.search("person", page_size=200)) == 60


async def test_resources_become_patients_contacts_and_staff(world, owner):
    name = {"name": [{"family": "Hill", "given": ["Sam"], "prefix": ["Dr."]}]}
    resources = [
        a_patient("1", "Ann Doe"),
        {"resourceType": "RelatedPerson", "id": "1"} | name,
        {"resourceType": "Practitioner", "id": "1"} | name,
        {"resourceType": "Encounter", "id": "1"},
        a_patient("2", "Late Ann", deceasedBoolean=True),
        a_patient("3", "Former Ann", active=False),
    ]

    first = await import_fhir(world, owner, *resources)
    second = await import_fhir(world, owner, *resources)

    assert first.counts == {"rows": 6, "created": 3, "skipped": 3}
    assert second.counts == {"rows": 6, "unchanged": 3, "skipped": 3}
    contact = (await found(owner, "hill"))["Sam Hill"]
    assert contact.kind == profile_pb2.PROFILE_KIND_CONTACT
    assert list(await found(owner, "ann")) == ["Ann Doe"]
    staff = (await owner.call("ListStaffMembers")).staff_members
    assert [member.display_name for member in staff] == ["Dr. Sam Hill", "Olga Owner"]


async def test_a_contact_whom_people_made_a_patient_stays_one(world, owner):
    contact = {"resourceType": "RelatedPerson", "id": "1", "name": [{"text": "Ann Doe"}]}
    await import_fhir(world, owner, contact)
    ann = (await found(owner, "ann"))["Ann Doe"]
    await owner.update_profile(ann.profile_id, kind=profile_pb2.PROFILE_KIND_PATIENT)

    assert (await import_fhir(world, owner, contact)).counts == {"rows": 1, "unchanged": 1}
    now = await owner.profile(ann.profile_id)
    assert now.kind == profile_pb2.PROFILE_KIND_PATIENT


async def test_who_was_replaced_is_merged_whatever_the_order_of_the_rows(world, owner):
    await import_fhir(world, owner, a_patient("1", "Ann One"))

    imported = await import_fhir(
        world, owner, replaced("1", by="2", active=False), a_patient("2", "Ann Two")
    )

    assert imported.counts == {"rows": 2, "created": 1, "skipped": 1, "merged": 1}
    assert list(await found(owner, "one")) == ["Ann Two"]
    [merge] = (await owner.call("ListMerges")).merges
    assert merge.actor == "platform:gateway"


async def test_a_chain_of_replacements_leads_to_who_survives(world, owner):
    imported = await import_fhir(
        world,
        owner,
        replaced("a", by="b"),
        replaced("b", by="c"),
        a_patient("c", "Last Survivor"),
    )

    assert imported.counts == {"rows": 3, "created": 3, "merged": 2}
    assert list(await found(owner, "pat")) == ["Last Survivor"]


async def test_a_ring_of_replacements_leaves_one_and_is_told(world, owner):
    imported = await import_fhir(world, owner, replaced("a", by="b"), replaced("b", by="a"))

    assert imported.counts == {"rows": 2, "created": 2, "merged": 1, "unmerged": 1}
    assert len(await found(owner, "pat")) == 1


async def test_who_is_not_there_yet_is_merged_when_they_come(world, owner):
    first = await import_fhir(world, owner, replaced("a", by="b"))
    second = await import_fhir(world, owner, a_patient("b", "Late Comer"))

    assert first.counts == {"rows": 1, "created": 1, "unmerged": 1}
    assert second.counts == {"rows": 1, "created": 1, "merged": 1}


async def test_a_merge_that_people_undid_is_not_made_again(world, owner):
    file = (replaced("a", by="b"), a_patient("b", "Ann Two"))
    await import_fhir(world, owner, *file)
    [merge] = (await owner.call("ListMerges")).merges
    await owner.unmerge(merge)

    again = await import_fhir(world, owner, *file)

    assert again.counts == {"rows": 2, "unchanged": 2}
    assert not (await owner.call("ListMerges")).merges


@pytest.mark.parametrize(
    "header",
    [
        {"source_system": "Not Allowed"},
        {"source_system": "a" * 65},
        {"format": 77},
        {"request_id": "x"},
    ],
)
async def test_a_header_that_cannot_be_is_refused(world, owner, header):
    error = await failure(import_csv(world, owner, HEADER, **header))

    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_stream_that_is_no_import_is_refused(world, owner):
    header = pb.ImportProfilesRequest(
        header={
            "format": pb.IMPORT_FORMAT_CSV,
            "source_system": "ehr",
            "request_id": str(uuid4()),
        }
    )
    chunk = pb.ImportProfilesRequest(chunk=HEADER.encode())

    for parts in ((), (chunk,), (chunk, header), (header, header), (header,)):
        error = await failure(send(world, owner.clinic_id, *parts))

        assert (error.code(), reason(error)) == (
            grpc.StatusCode.INVALID_ARGUMENT,
            "IMPORT_MALFORMED",
        )


async def test_only_machines_import_and_into_a_clinic_that_there_is(world, owner):
    header = pb.ImportProfilesRequest(
        header={
            "format": pb.IMPORT_FORMAT_FHIR_NDJSON,
            "source_system": "ehr",
            "request_id": str(uuid4()),
        }
    )

    error = await failure(send(world, str(uuid4()), header))
    assert reason(error) == "CLINIC_NOT_FOUND"
    error = await failure(sent_as(world, owner.metadata, header))
    assert reason(error) == "ROLE_NOT_ALLOWED"
