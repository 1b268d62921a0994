"""What others wrote reaches the terminal as text and nothing else; ids are never cut in two."""

import json
from io import StringIO

import pytest
from rich.console import Console

from clinic.conversations.v1 import message_pb2
from services.cli.output import Told, as_data, named, plain, table, tell, word

ID = "0199d1a0-5b7e-7c31-9f6a-3f1f0a4c2b11"


def printed(shown, width=80):
    output = StringIO()
    Console(file=output, width=width, highlight=False).print(shown)
    return output.getvalue()


@pytest.mark.parametrize("text", ["\x1b[31mred", "\x07", "\x9b0m", "\u202egnp", "\ue000"])
def test_control_characters_do_not_reach_the_terminal(text):
    assert printed(plain(text)).startswith("\ufffd")


@pytest.mark.parametrize("text", ["[bold]x[/bold]", "[link=http://x]", "👩\u200d⚕", "नमस्\u200cते"])
def test_text_is_shown_as_it_was_written(text):
    assert printed(plain(text)).strip() == text


def test_ids_are_not_cut_in_two_in_a_narrow_terminal():
    row = (named("Somebody with quite a long name, as people have", ID), "word " * 40, "2026-01-01")

    told = printed(table(("who", "what", "when"), [row], empty=""), width=70)

    assert ID in told
    assert told.count("word") == 40


def test_an_empty_table_says_so():
    assert printed(table(("who",), [], empty="Nobody.")) == "Nobody.\n"


def test_json_holds_unset_fields_and_characters_as_they_are(capsys):
    tell(Told(as_data(message_pb2.Message(body="ä")), plain("")), as_json=True)

    data = json.loads(capsys.readouterr().out)
    assert data["body"] == "ä"
    assert data["sequence"] == "0"
    assert "delete_time" not in data


def test_what_is_copied_whole_is_on_one_line(capsys):
    tell(Told({}, plain("x" * 300), wraps=False), as_json=False)

    assert capsys.readouterr().out == "x" * 300 + "\n"


def test_enum_values_become_words():
    assert word("STAFF_KIND_PRACTITIONER", "STAFF_KIND_") == "practitioner"
    assert word("STAFF_KIND_UNSPECIFIED", "STAFF_KIND_") == ""
