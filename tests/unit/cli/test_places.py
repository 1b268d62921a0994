"""The suite is found by what runs here and by what the environment says."""

import json

import pytest

from services.cli.failures import Failed
from services.cli.places import find
from services.cli.suite import Suite


@pytest.fixture
def state(tmp_path):
    """The state directory of a stack that runs."""
    doors = {"public": "127.0.0.1:1051", "internal": "127.0.0.1:1151"}
    summary = {
        "services": {"directory": doors},
        "mailbox": "http://127.0.0.1:8025",
        "keys": "/keys",
        "token_issuer": "https://issuer.test",
        "token_audience": "clinic",
    }
    (tmp_path / "stack.json").write_text(json.dumps(summary))
    return tmp_path


def test_a_running_stack_is_found(state):
    places = find({"LOCAL_STATE": str(state)})

    assert places.public["directory"] == "127.0.0.1:1051"
    assert places.internal["directory"] == "127.0.0.1:1151"
    assert places.mailbox == "http://127.0.0.1:8025"
    assert places.issuer == "https://issuer.test"
    assert str(places.issuer_key) == "/keys/issuer.jwk"


def test_the_environment_wins(state):
    said = {
        "LOCAL_STATE": str(state),
        "CLINIC_DIRECTORY_TARGET": "directory.test:443",
        "CLINIC_EXPORT_INTERNAL_TARGET": "export.test:443",
        "CLINIC_KEYS": "/elsewhere",
    }

    places = find(said)

    assert places.public["directory"] == "directory.test:443"
    assert places.internal["export"] == "export.test:443"
    assert str(places.ops_key) == "/elsewhere/ops-dev.jwk"


def test_without_either_a_sentence_says_what_to_do(tmp_path):
    with pytest.raises(Failed, match="make run"):
        Suite(find({"LOCAL_STATE": str(tmp_path)}))
