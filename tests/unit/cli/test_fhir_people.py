"""Anybody's FHIR people get an address of their own, and nobody real is ever written to."""

import json

import pytest

from services.cli.failures import Failed
from services.cli.replay.fhir import read_people
from services.cli.sessions import Side


def a_person(type="Patient", id="one", **members):
    return {"resourceType": type, "id": id, "name": [{"family": "Doe", "given": ["Jo"]}], **members}


def people_of(folder, *resources, file="Patient.ndjson"):
    (folder / file).write_text("\n".join(json.dumps(each) for each in resources))
    return read_people(folder)


def addresses_in(people):
    lines = (json.loads(line) for line in people.file())
    return [point["value"] for each in lines for point in each["telecom"] if _is_mail(point)]


def _is_mail(point):
    return point["system"] == "email"


def test_each_gets_their_id_as_address(tmp_path):
    people = people_of(tmp_path, a_person(id="ba18-f3.x"), a_person(id="Two"))

    assert addresses_in(people) == ["ba18-f3.x@example.test", "Two@example.test"]


def test_a_real_address_is_replaced_and_a_phone_kept(tmp_path):
    telecom = [{"system": "email", "value": "jo@clinic.org"}, {"system": "phone", "value": "555"}]

    [line] = people_of(tmp_path, a_person(telecom=telecom)).file()

    assert json.loads(line)["telecom"] == [
        {"system": "phone", "value": "555"},
        {"system": "email", "value": "one@example.test"},
    ]


@pytest.mark.parametrize("id", ["", "a b", "a..b", ".a", "x@y", "x" * 65, "å", "\ud800"])
def test_an_id_that_no_address_may_hold_is_told_by_its_hash(tmp_path, id):
    [address] = addresses_in(people_of(tmp_path, a_person(id=id)))

    local, _, domain = address.partition("@")
    assert domain == "example.test"
    assert len(local) == 32
    assert local.isalnum()


def test_ids_that_differ_in_case_only_get_different_addresses(tmp_path):
    first, second = addresses_in(people_of(tmp_path, a_person(id="ab"), a_person(id="AB")))

    assert first.casefold() != second.casefold()


def test_who_is_listed_twice_keeps_the_address(tmp_path):
    assert addresses_in(people_of(tmp_path, a_person(), a_person())) == ["one@example.test"] * 2


def test_a_patient_and_a_practitioner_of_one_id_are_two(tmp_path):
    people = people_of(tmp_path, a_person(), a_person(type="Practitioner"))

    assert set(people.owners) == {
        (Side.PROFILE, "one@example.test"),
        (Side.STAFF, "one@example.test"),
    }


@pytest.mark.parametrize(
    ("members", "deceased"),
    [
        ({"deceasedBoolean": True}, 1),
        ({"deceasedDateTime": "2001-02-03"}, 1),
        ({"deceasedBoolean": False}, 0),
        ({}, 0),
    ],
)
def test_the_deceased_are_counted(tmp_path, members, deceased):
    assert len(people_of(tmp_path, a_person(**members)).deceased) == deceased


def test_every_file_is_read_and_only_people_are_taken(tmp_path):
    people_of(tmp_path, {"resourceType": "Observation", "id": "o"}, a_person(), file="1.x.ndjson")
    people = people_of(tmp_path, a_person(type="Practitioner"), a_person(type="RelatedPerson"))

    assert len(people.resources) == 3


def test_lines_that_are_no_resource_keep_nobody_out(tmp_path):
    (tmp_path / "x.ndjson").write_text(f"nonsense\n[1]\n\n{json.dumps(a_person())}\n")

    people = read_people(tmp_path)

    assert len(people.resources) == 1
    assert people.unreadable == 2


@pytest.mark.parametrize(
    ("names", "initials"),
    [
        ([{"family": "O'Brien42", "given": ["Ana", "7th"]}], {"o", "b", "a", "7"}),
        ([{"text": "Élodie de la Cruz"}, {"use": "nickname", "given": "Lo"}], set("édlc")),
        ([{"family": None, "given": [3, "王"]}], {"王"}),
        ("nobody", set()),
    ],
)
def test_people_can_be_searched_by_the_letters_that_words_of_their_names_begin_with(
    tmp_path, names, initials
):
    assert initials <= people_of(tmp_path, a_person(name=names)).initials


def test_a_directory_without_people_is_refused(tmp_path):
    with pytest.raises(Failed, match=r"no \*\.ndjson file"):
        read_people(tmp_path)
    with pytest.raises(Failed, match="no Patient"):
        people_of(tmp_path, {"resourceType": "Organization"})
