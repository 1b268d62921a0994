"""Files of people, and what of them is sent."""

import json

import pytest

from services.cli.failures import Failed
from services.cli.uploads import upload_of

PAT = {"resourceType": "Patient", "id": "1", "name": [{"family": "Núñez"}]}
VISIT = {"resourceType": "Encounter", "id": "2", "reasonCode": [{"text": "a cough"}]}


def sent(file):
    upload = upload_of(file)
    content = b"".join(upload.read())
    assert upload.size == len(content)
    assert b"".join(upload.read()) == content
    return content


def lines(file):
    return [json.loads(line) for line in sent(file).splitlines()]


def test_a_file_of_lines_goes_out_as_it_is(tmp_path):
    file = tmp_path / "Patient.ndjson"
    file.write_bytes(json.dumps(PAT).encode() * 2_000)

    assert sent(file) == file.read_bytes()
    assert max(map(len, upload_of(file).read())) == 48 * 1024


def test_a_bundle_goes_out_as_a_line_an_entry(tmp_path):
    file = tmp_path / "bundle.json"
    bundle = {"resourceType": "Bundle", "entry": [{"resource": VISIT}, {"resource": PAT}]}
    file.write_text(json.dumps(bundle, indent=2))

    assert lines(file) == [{"resourceType": "Encounter"}, PAT]


def test_one_resource_over_many_lines_goes_out_as_one(tmp_path):
    file = tmp_path / "patient.json"
    file.write_text(json.dumps(PAT, indent=2))

    assert lines(file) == [PAT]


def test_json_of_several_lines_is_a_file_of_lines(tmp_path):
    file = tmp_path / "patients.json"
    file.write_text(f"{json.dumps(PAT)}\n{json.dumps(PAT)}\n")

    assert lines(file) == [PAT, PAT]


@pytest.mark.parametrize("entries", [None, "x", [None], [{"fullUrl": "x"}]])
def test_entries_without_a_resource_are_for_the_service_to_refuse(tmp_path, entries):
    file = tmp_path / "bundle.json"
    file.write_text(json.dumps({"resourceType": "Bundle", "entry": entries}))

    assert set(sent(file).split()) <= {b"null"}


def test_what_is_not_there_or_not_a_file_is_told_before_anything_is_sent(tmp_path):
    for file in (tmp_path / "nowhere.csv", tmp_path):
        with pytest.raises(Failed, match="cannot be read"):
            upload_of(file)
