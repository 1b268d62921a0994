"""Unseen people and words, imported, replayed, merged and compared by the command itself."""

import asyncio
import json
import os
import sys

PEOPLE = [
    {
        "resourceType": "Patient",
        "id": "9f.Long-id-7",
        "name": [{"use": "official", "family": "O'Neil42", "given": ["Ana7", "María", "王"]}],
        "telecom": [{"system": "email", "value": "somebody@real.example"}],
        "birthDate": "1980",
    },
    {"resourceType": "Patient", "id": "two", "name": [{"text": "Õ. Öz"}], "deceasedBoolean": False},
    {"resourceType": "Patient", "id": "three", "name": [{"family": "Zed"}], "gender": "other"},
    {
        "resourceType": "Patient",
        "id": "gone",
        "name": [{"family": "Gone"}],
        "deceasedDateTime": "2",
    },
    {"resourceType": "Patient", "id": "nobody"},
    {"resourceType": "Practitioner", "id": "two", "name": [{"family": "Who", "prefix": ["Dr."]}]},
]
DIALOGUES = [
    {
        "id": "a",
        "turns": [("profile", "hello?"), ("staff", "Hi\n there "), ("profile", "e\u0301 👋")],
    },
    {
        "id": 2,
        "turns": [("staff", "one"), ("staff", "two"), ("profile", "  "), ("profile", "three")],
    },
    {"id": "c", "turns": [("staff", "alone")]},
    {"id": "d", "turns": [("profile", "nobody answers")]},
    {"id": "e", "turns": [("staff", "with the second practitioner"), ("profile", "yes")]},
]


async def test_whoever_and_whatever_is_replayed_comes_back_as_it_was(stack, tmp_path):
    (tmp_path / "People.ndjson").write_text("\n".join(map(json.dumps, PEOPLE)))
    (tmp_path / "said.jsonl").write_text("\n".join(map(_line, DIALOGUES)))
    files = ("--people", str(tmp_path), "--dialogues", str(tmp_path / "said.jsonl"))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.cli", "replay", *files, "--json"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "LOCAL_STATE": str(stack.plan.state.directory)},
    )

    told, progress = await process.communicate()

    assert process.returncode == 0, (told + progress).decode()
    numbers = json.loads(told)["numbers"]
    assert numbers["people imported"] == "4 of 6"
    assert numbers["people skipped"] == "1, of whom 1 are deceased"
    assert numbers["people refused"] == "1: name invalid (1)"
    assert numbers["dropped: leading patient turns"] == "2"
    assert numbers["dropped: unsendable turns"] == "1"
    assert (numbers["dialogues"], numbers["messages"]) == ("4", "8")
    assert numbers["mails to patients"] == "5 for 5 staff messages"


def _line(dialogue):
    turns = [{"from": side, "text": text} for side, text in dialogue["turns"]]
    return json.dumps({**dialogue, "turns": turns})
