import os

import pytest

from deploy.local.state import AlreadyRunning, State


def test_a_second_stack_in_the_same_directory_is_refused_with_the_process_of_the_first(tmp_path):
    second = State(tmp_path).held()

    with State(tmp_path).held(), pytest.raises(AlreadyRunning) as refusal:
        second.__enter__()

    assert refusal.value.pid == os.getpid()
    assert f"process {os.getpid()}" in str(refusal.value)


def test_a_directory_is_free_again_when_its_stack_has_ended(tmp_path):
    state = State(tmp_path)
    with state.held():
        assert state.holder() == os.getpid()

    assert state.holder() is None
    with state.held():
        pass


def test_secrets_are_made_once_and_are_nobody_elses_to_read(tmp_path):
    secrets = State(tmp_path).secrets()

    assert State(tmp_path).secrets() == secrets
    assert (tmp_path / "secrets.json").stat().st_mode & 0o777 == 0o600
    assert secrets.postgres not in repr(secrets)


def test_a_note_is_recalled(tmp_path):
    state = State(tmp_path)

    assert state.recall("export-migrated") == ""
    state.note("export-migrated", "abc")
    assert state.recall("export-migrated") == "abc"
