import pytest

from deploy.local.mailbox.faults import Fault, Faults, MalformedFault, parse


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
        {"code": 550},
        [],
    ],
)
def test_what_is_no_fault_is_refused_with_words(value):
    with pytest.raises(MalformedFault, match="A fault is"):
        parse(value)
