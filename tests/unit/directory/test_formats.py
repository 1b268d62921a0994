"""Files of other systems: cut anywhere, of any size, with whatever stands in them."""

import json
import random
import tracemalloc

import pytest

from services.directory.domain.errors import ImportMalformed
from services.directory.domain.importing import PersonRow, RowError, RowReason, Skipped
from services.directory.domain.profile import ProfileKind
from services.directory.domain.staff_member import AccessLevel, StaffKind
from services.directory.formats.csv_rows import csv_rows
from services.directory.formats.fhir_rows import fhir_rows
from services.directory.formats.lines import MOST_BYTES, records

HEADER = "external_id,display_name,email\n"


async def pieces(content, size=None):
    data = content.encode() if isinstance(content, str) else content
    for at in range(0, len(data), size or len(data) or 1):
        yield data[at : at + (size or len(data))]


async def read(rows, content, size=None):
    return [row async for row in rows(pieces(content, size))]


async def read_fhir(*resources):
    return await read(fhir_rows, "\n".join(json.dumps(resource) for resource in resources))


def a_patient(**elements):
    return {
        "resourceType": "Patient",
        "id": "p1",
        "name": [{"family": "Doe", "given": ["Pat", "Q."]}],
    } | elements


async def test_records_are_lines_with_their_numbers_and_without_empty_ones():
    found = [record async for record in records(pieces("\ufeffone\r\n\n  \nfour\nfive"))]

    assert [(record.line, record.content) for record in found] == [
        (1, b"one"),
        (4, b"four"),
        (5, b"five"),
    ]


async def test_where_the_stream_is_cut_does_not_matter():
    content = "\ufeff" + HEADER + 'a,"Zoë\r\nand ""Co""",z@x.test\r\nb,Bo,\n\nc,"C\nd",'

    whole = await read(csv_rows, content)

    assert [row.line for row in whole] == [2, 4, 6]
    assert whole[0].person.display_name == 'Zoë\r\nand "Co"'
    for size in range(1, 20):
        assert await read(csv_rows, content, size) == whole


async def test_a_line_that_is_too_long_is_left_out_and_the_next_is_read():
    content = "x" * (3 * MOST_BYTES) + "\n" + json.dumps(a_patient())

    first, second = await read(fhir_rows, content, 40_000)

    assert first == RowError(1, "", RowReason.TOO_LONG)
    assert isinstance(second, PersonRow)


async def test_a_line_without_an_end_is_read_in_constant_memory():
    async def endless():
        for _ in range(2_000):
            yield b"x" * 10_000

    tracemalloc.start()
    rows = [row async for row in fhir_rows(endless())]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert rows == [RowError(1, "", RowReason.TOO_LONG)]
    assert peak < 4 * MOST_BYTES


async def test_a_quote_that_nobody_closes_takes_no_more_than_a_row_may_be_long():
    filler = "".join(f"{number},Name {number},\n" for number in range(30_000))

    rows = await read(csv_rows, HEADER + 'a,"never closed,\n' + filler, 48_000)

    errors = [row for row in rows if isinstance(row, RowError)]
    assert errors[0] == RowError(2, "", RowReason.TOO_LONG)
    assert len(rows) > 10_000
    assert isinstance(rows[-1], PersonRow)


async def test_a_quote_inside_a_value_stays_in_its_row():
    rows = await read(csv_rows, HEADER + 'a,Pat "Patty" Doe,\nb,Bo,\n')

    assert [row.external_id for row in rows if isinstance(row, PersonRow)] == ["a", "b"]


async def test_columns_come_in_any_order_and_case():
    content = " Birth_Date ,DISPLAY_NAME,external_id,kind,do_not_email,phone,preferred_name\n"
    content += "1980-01-01,Pat Doe,7,Contact,TRUE,555-0100,Patty\n"

    [row] = await read(csv_rows, content)

    assert row.external_id == "7"
    assert row.person.kind is ProfileKind.CONTACT
    assert row.person.do_not_email is True
    assert (row.person.birth_date, row.person.email) == ("1980-01-01", None)


async def test_an_empty_kind_or_flag_says_nothing_and_another_empty_cell_takes_away():
    content = "external_id,display_name,kind,do_not_email,email\na,Pat,,,\n"

    [row] = await read(csv_rows, content)

    assert (row.person.kind, row.person.do_not_email, row.person.email) == (None, None, "")


@pytest.mark.parametrize(
    "header",
    [
        "",
        "external_id\n",
        "display_name,email\n",
        "external_id,display_name,colour\n",
        "external_id,display_name,display_name\n",
        "external_id;display_name\n",
        'external_id,"display_name\n',
        "\xff\xfe\n",
    ],
)
async def test_a_file_whose_columns_are_wrong_is_refused_as_a_whole(header):
    with pytest.raises(ImportMalformed):
        await read(csv_rows, header.encode("latin-1") + b"a,b\n" if header else b"")


@pytest.mark.parametrize(
    ("line", "field", "reason"),
    [
        (b"a,Pat\n", "", RowReason.MALFORMED),
        (b"a,Pat,,\n", "", RowReason.MALFORMED),
        (b'a,"Pat"x,\n', "", RowReason.MALFORMED),
        (b"a,P\xff,\n", "", RowReason.MALFORMED),
        (b",Pat,\n", "external_id", RowReason.EXTERNAL_ID_INVALID),
        (b"a\x00b,Pat,\n", "external_id", RowReason.EXTERNAL_ID_INVALID),
        (b"a" * 201 + b",Pat,\n", "external_id", RowReason.EXTERNAL_ID_INVALID),
    ],
)
async def test_a_bad_row_is_left_out_alone(line, field, reason):
    rows = await read(csv_rows, HEADER.encode() + line + b"b,Bo,\n")

    assert rows[0] == RowError(2, field, reason)
    assert isinstance(rows[1], PersonRow)


@pytest.mark.parametrize(
    ("column", "cell", "reason"),
    [
        ("kind", "doctor", RowReason.KIND_INVALID),
        ("do_not_email", "maybe", RowReason.FLAG_INVALID),
    ],
)
async def test_a_word_that_is_not_known_is_told_by_its_column(column, cell, reason):
    [row] = await read(csv_rows, f"external_id,display_name,{column}\na,Pat,{cell}\n")

    assert row == RowError(2, column, reason)


async def test_a_patient_is_read():
    [row] = await read_fhir(
        a_patient(
            birthDate="1980-01-01",
            telecom=[
                {"system": "phone", "value": "555-0100", "use": "home"},
                {"system": "email", "value": "old@x.test", "use": "old"},
                {"system": "email", "value": "second@x.test", "rank": 2},
                {"system": "email", "value": "first@x.test", "rank": 1},
            ],
        )
    )

    assert (row.external_id, row.kind_if_new) == ("p1", ProfileKind.PATIENT)
    assert row.person.display_name == "Pat Q. Doe"
    assert (row.person.email, row.person.phone) == ("first@x.test", "555-0100")
    assert row.person.birth_date == "1980-01-01"
    assert row.person.kind is None


async def test_the_name_in_use_is_taken_and_never_a_former_one():
    [row] = await read_fhir(
        a_patient(
            name=[
                {"use": "maiden", "text": "Pat Former"},
                {"use": "nickname", "given": ["Patty"]},
                {"use": "usual", "text": "Pat Usual"},
                {"use": "official", "text": "Patricia Official"},
            ]
        )
    )

    assert row.person.display_name == "Patricia Official"
    assert row.person.preferred_name == "Patty"


async def test_contacts_and_practitioners_are_read_as_what_they_are():
    name = {"name": [{"family": "Hill", "given": ["Sam"], "prefix": ["Dr."]}]}
    contact, doctor, other = await read_fhir(
        {"resourceType": "RelatedPerson", "id": "1"} | name,
        {"resourceType": "Practitioner", "id": "1", "active": True} | name,
        {"resourceType": "Encounter", "id": "1"},
    )

    assert (contact.external_id, contact.kind_if_new) == ("RelatedPerson/1", ProfileKind.CONTACT)
    assert contact.person.display_name == "Sam Hill"
    assert doctor.external_id == "Practitioner/1"
    assert doctor.person.display_name == "Dr. Sam Hill"
    assert doctor.person.kind is StaffKind.PRACTITIONER
    assert doctor.person.access_level is AccessLevel.LIMITED
    assert other == Skipped(3)


@pytest.mark.parametrize(
    "gone",
    [{"active": False}, {"deceasedBoolean": True}, {"deceasedDateTime": "2020-01-01T00:00:00Z"}],
)
async def test_the_deceased_and_the_inactive_are_skipped(gone):
    assert await read_fhir(a_patient(**gone)) == [Skipped(1)]


@pytest.mark.parametrize("born", ["1980", "1980-01"])
async def test_a_birth_date_without_a_day_is_none(born):
    [row] = await read_fhir(a_patient(birthDate=born))

    assert row.person.birth_date is None


@pytest.mark.parametrize(
    ("reference", "target"),
    [
        ("Patient/p2", "p2"),
        ("https://ehr.test/fhir/Patient/p2", "p2"),
        ("Patient/p2/_history/3", "p2"),
        ("urn:uuid:0198c2f0-5b7e-7c31-9f6a-3f1f0a4c2b11", "0198c2f0-5b7e-7c31-9f6a-3f1f0a4c2b11"),
    ],
)
async def test_a_patient_that_was_replaced_says_by_whom(reference, target):
    link = {"type": "replaced-by", "other": {"reference": reference}}

    [row] = await read_fhir(a_patient(active=False, link=[{"type": "seealso"}, link]))

    assert (row.replaced_by, row.inactive) == (target, True)


@pytest.mark.parametrize("reference", ["Patient/p1", "RelatedPerson/p2", "#contained", ""])
async def test_a_link_to_itself_or_to_no_patient_is_told(reference):
    link = {"type": "replaced-by", "other": {"reference": reference}}

    assert await read_fhir(a_patient(link=[link])) == [RowError(1, "link", RowReason.LINK_INVALID)]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", RowReason.MALFORMED),
        (b"[]", RowReason.MALFORMED),
        (b"null", RowReason.MALFORMED),
        (b"{}", RowReason.MALFORMED),
        (b'{"resourceType": 7}', RowReason.MALFORMED),
        (b"[" * 100_000, RowReason.MALFORMED),
        (b"1" * 100_000, RowReason.MALFORMED),
        (b'"\xff"', RowReason.MALFORMED),
        (b'{"resourceType": "Patient"}', RowReason.EXTERNAL_ID_INVALID),
        (b'{"resourceType": "Patient", "id": 7}', RowReason.EXTERNAL_ID_INVALID),
        (b'{"resourceType": "Patient", "id": "a\\u0000"}', RowReason.EXTERNAL_ID_INVALID),
        (b'{"resourceType": "Patient", "id": "a\\ud800"}', RowReason.EXTERNAL_ID_INVALID),
    ],
)
async def test_what_is_no_resource_is_left_out_alone(line, reason):
    first, second = await read(fhir_rows, line + b"\n" + json.dumps(a_patient()).encode())

    assert (first.line, first.reason) == (1, reason)
    assert isinstance(second, PersonRow)


async def test_elements_of_the_wrong_form_are_as_if_they_were_absent():
    random.seed(7)
    wrong: list[object] = [None, 1, True, "x", [], {}, [1], [[]], [{"value": 1}]]

    for _ in range(300):
        names = ["name", "telecom", "birthDate", "link", "active", "deceasedBoolean"]
        elements = {name: random.choice(wrong) for name in names}
        [row] = await read_fhir(a_patient(**elements))

        assert isinstance(row, PersonRow | Skipped | RowError)
