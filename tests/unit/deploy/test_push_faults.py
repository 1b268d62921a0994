import pytest

from deploy.local.faults import MalformedFault
from deploy.local.pushes.faults import Fault, Faults, parse


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (
            {"token": "t", "status": 429, "reason": "x", "retry_after": 5},
            Fault(token="t", status=429, reason="x", retry_after=5),
        ),
        ({"token": "", "hang": "before_request"}, Fault(token="", hang="before_request")),
        ({"token": "t", "reset": "refused"}, Fault(token="t", reset="refused")),
        ({"token": "t", "slow": 0.5}, Fault(token="t", slow=0.5)),
    ],
    ids=["status", "hang", "reset", "slow"],
)
def test_a_fault_says_one_thing_that_goes_wrong(value, fault):
    assert parse(value) == fault


@pytest.mark.parametrize(
    "value",
    [
        [],
        {},
        {"token": "t"},
        {"status": 500},
        {"token": "t", "status": 200},
        {"token": "t", "status": "500"},
        {"token": "t", "status": 500, "slow": 1},
        {"token": "t", "hang": "sometimes"},
        {"token": "t", "hang": "before_request"},
        {"token": "t", "reset": "softly"},
        {"token": "t", "slow": 1, "more": 1},
    ],
    ids=str,
)
def test_anything_else_is_malformed(value):
    with pytest.raises(MalformedFault):
        parse(value)


def test_a_tokens_own_fault_comes_before_that_of_all():
    faults = Faults()
    faults.set(Fault(token="", status=500))
    faults.set(Fault(token="t", status=410))

    assert faults.of("t") == Fault(token="t", status=410)
    assert faults.of("other") == Fault(token="", status=500)
    faults.clear()
    assert faults.of("t") is None
