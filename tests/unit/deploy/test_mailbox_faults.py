import pytest

from deploy.local.faults import MalformedFault
from deploy.local.mailbox.faults import Fault, Faults, parse


def test_a_fault_of_one_recipient_wins_over_that_of_all():
    faults = Faults()
    faults.set(Fault("", code=451))
    faults.set(Fault("Pat@example.test", code=550))

    assert faults.of("pat@example.test") == Fault("Pat@example.test", code=550)
    assert faults.of("sam@example.test") == Fault("", code=451)


def test_cleared_faults_are_gone():
    faults = Faults()
    faults.set(Fault("", code=451))

    faults.clear()

    assert faults.of("pat@example.test") is None


@pytest.mark.parametrize(
    "value",
    [
        {"recipient": "a@b.test", "code": 250},
        {"recipient": "a@b.test", "hang": "sometimes"},
        {"recipient": "a@b.test"},
        {"recipient": "a@b.test", "code": 550, "hang": "after_data"},
        {"recipient": "a@b.test", "code": "550"},
        {"recipient": "a@b.test", "code": 550, "at": "quit"},
        {"recipient": "a@b.test", "code": 550, "at": "mail"},
        {"recipient": "a@b.test", "reset": False},
        {"recipient": "a@b.test", "slow": 0},
        {"recipient": "a@b.test", "slow": 1, "reset": True},
        {"recipient": "a@b.test", "nothing": 1},
        {"code": 550},
        [],
    ],
)
def test_what_is_no_fault_is_refused_with_words(value):
    with pytest.raises(MalformedFault, match="A fault is"):
        parse(value)


@pytest.mark.parametrize(
    ("value", "step"),
    [
        ({"recipient": "", "code": 451, "at": "mail"}, "mail"),
        ({"recipient": "a@b.test", "code": 550}, "rcpt"),
        ({"recipient": "a@b.test", "reset": True, "at": "data"}, "data"),
        ({"recipient": "a@b.test", "slow": 0.5, "at": "end"}, "end"),
        ({"recipient": "a@b.test", "hang": "before_data"}, "rcpt"),
        ({"recipient": "a@b.test", "hang": "after_data"}, "end"),
    ],
)
def test_a_fault_strikes_at_its_step_only(value, step):
    faults, fault = Faults(), parse(value)
    faults.set(fault)
    recipients = [fault.recipient] if fault.recipient else []

    struck = [at for at in ("mail", "rcpt", "data", "end") if faults.at(at, recipients)]

    assert struck == [step]
