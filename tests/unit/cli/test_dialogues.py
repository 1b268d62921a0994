"""Dialogues are replayed as they stand, but for what a patient cannot begin and no message hold."""

import json

import pytest

from services.cli.failures import Failed
from services.cli.replay.dialogues import read_dialogues
from services.cli.sessions import Side


def a_file(folder, *dialogues):
    file = folder / "dialogues.jsonl"
    file.write_text("\n".join(json.dumps(each) for each in dialogues))
    return file


def a_dialogue(*turns, id="one"):
    return {"id": id, "turns": [{"from": side, "text": text} for side, text in turns]}


def test_texts_are_kept_to_the_last_space(tmp_path):
    file = a_file(tmp_path, a_dialogue(("staff", " two\n lines \t"), ("profile", "e\u0301")))

    [dialogue] = read_dialogues(file, count=1).dialogues

    assert [(turn.side, turn.text) for turn in dialogue.turns] == [
        (Side.STAFF, " two\n lines \t"),
        (Side.PROFILE, "e\u0301"),
    ]


def test_leading_patient_turns_are_dropped_and_counted(tmp_path):
    file = a_file(tmp_path, a_dialogue(("profile", "hi"), ("profile", "?"), ("staff", "hello")))

    script = read_dialogues(file, count=1)

    assert script.turns == script.staff_turns == 1
    assert script.dropped["leading patient turns"] == 2


@pytest.mark.parametrize("text", [" \n\t", "", "x" * 10_001, "ä€" * 9_000, "\ud800"])
def test_what_no_message_can_hold_is_dropped_and_counted(tmp_path, text):
    file = a_file(tmp_path, a_dialogue(("staff", "hello"), ("profile", text)))

    script = read_dialogues(file, count=1)

    assert script.turns == 1
    assert script.dropped["unsendable turns"] == 1


def test_the_longest_message_is_kept(tmp_path):
    file = a_file(tmp_path, a_dialogue(("staff", "\U0001f642" * 10_000)))

    assert read_dialogues(file, count=1).turns == 1


def test_dialogues_without_a_staff_turn_do_not_count(tmp_path):
    silent = a_dialogue(("profile", "anybody there?"), id="silent")
    file = a_file(tmp_path, silent, *(a_dialogue(("staff", "hello"), id=n) for n in range(3)))

    assert [each.id for each in read_dialogues(file, count=2).dialogues] == ["0", "1"]


@pytest.mark.parametrize(
    "line",
    [
        "no json",
        "[]",
        '{"id": "x"}',
        '{"turns": [{"from": "nurse", "text": "x"}]}',
        '{"turns": [{"from": "staff", "text": 3}]}',
    ],
)
def test_another_form_is_refused_with_its_place(tmp_path, line):
    file = tmp_path / "dialogues.jsonl"
    file.write_text(f'{{"turns": []}}\n\n{line}\n')

    with pytest.raises(Failed, match=r"dialogues\.jsonl, line 3"):
        read_dialogues(file, count=1)


def test_a_file_in_which_nobody_may_speak_is_refused(tmp_path):
    with pytest.raises(Failed, match="no dialogue"):
        read_dialogues(a_file(tmp_path, a_dialogue(("profile", "hello"))), count=1)
