import pytest

from deploy.local.logs import is_loud


@pytest.mark.parametrize(
    "line",
    [
        '{"event": "relay_behind", "level": "warning"}',
        "2026-01-01 10:00:00 UTC [7] FATAL:  the database files are incompatible",
        "[12] 2026/01/01 10:00:00.000000 [ERR] Error trying to connect",
        "Traceback (most recent call last):",
    ],
)
def test_trouble_is_loud(line):
    assert is_loud(line)


@pytest.mark.parametrize(
    "line",
    [
        '{"event": "message_sent", "level": "info"}',
        '{"event": "ERROR: in a value", "level": "info"}',
        "2026-01-01 10:00:00 UTC [7] LOG:  database system is ready to accept connections",
        "2026-01-01 10:00:00 UTC [7] FATAL:  the database system is starting up",
        "2026-01-01 10:00:00 UTC [7] FATAL:  the database system is not yet accepting connections",
        "42",
        "",
    ],
)
def test_everyday_work_is_quiet(line):
    assert not is_loud(line)
