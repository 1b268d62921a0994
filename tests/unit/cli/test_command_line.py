"""What a person types: help that teaches, refusals in one sentence, exit codes."""

import argparse
import shlex

import pytest

from services.cli.__main__ import build_parser, main


@pytest.fixture(autouse=True)
def nothing_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("LOCAL_STATE", str(tmp_path))


def commands_of(parser, *path):
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, each in action.choices.items():
                yield from commands_of(each, *path, name)
            return
    yield path, parser


COMMANDS = dict(commands_of(build_parser()))


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_can_answer_programs_and_says_what_it_does(path):
    parser = COMMANDS[path]

    assert "--json" in parser.format_usage()
    assert parser.description


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_example_in_the_help_can_be_typed(path):
    for line in (COMMANDS[path].epilog or "").splitlines():
        # Without a remark behind it, or what the shell does with its input.
        typed = line.split("    (")[0].split("<")[0]
        if typed.startswith("  clinic "):
            build_parser().parse_args(shlex.split(typed)[1:])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["inbox", "--as", "staff:0199d1a0-5b7e-7c31-9f6a-3f1f0a4c2b11"], "--clinic ID"),
        (["inbox"], "Say who acts"),
        (["inbox", "--as", "somebody"], "is nobody"),
        (["import", "people.txt", "--clinic", "x"], "--format csv"),
        (["ops", "export", "verify", "nowhere"], "cannot be read"),
        (["ops", "status"], "ops-dev.jwk cannot be read"),
    ],
)
def test_what_is_missing_is_one_sentence_and_no_traceback(words, sentence, capsys, monkeypatch):
    monkeypatch.setenv("CLINIC_DIRECTORY_TARGET", "127.0.0.1:1")

    assert main(words) == 1

    complaint = capsys.readouterr().err
    assert sentence in complaint
    assert complaint.startswith("clinic: ")
    assert complaint.count("\n") == 1


def test_without_a_suite_a_sentence_says_how_to_start_one(capsys):
    assert main(["ops", "status"]) == 1

    assert "make run" in capsys.readouterr().err
