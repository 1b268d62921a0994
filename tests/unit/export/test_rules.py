from datetime import timedelta

import pytest

from services.chassis.errors import InvalidArgument
from services.chassis.settings import SettingsError, describe, load
from services.export.domain.job import MOST_ATTEMPTS, pause_after
from services.export.domain.requester import address_key, check_address
from services.export.settings import PREFIX, Settings


def environ(**values):
    required = {
        variable.name: "x"
        for variable in describe(Settings, f"{PREFIX}_")
        if variable.default is None
    }
    key = {"EXPORT_SEALING_KEY": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="}
    return {**required, **key, **values}


@pytest.mark.parametrize(
    "spelling", ["Owner@Clinic.test", " owner@clinic.test\t", "OWNER@CLINIC.TEST"]
)
def test_case_and_white_space_do_not_make_another_address(spelling):
    assert address_key(spelling) == "owner@clinic.test"


@pytest.mark.parametrize("other", ["owner+export@clinic.test", "o.wner@clinic.test"])
def test_tags_and_dots_make_another_address(other):
    assert address_key(other) != address_key("owner@clinic.test")


def test_what_is_longer_than_any_address_is_refused():
    check_address("x" * 254)

    with pytest.raises(InvalidArgument):
        check_address("x" * 255)


def test_pauses_grow_and_end():
    pauses = [pause_after(attempts) or timedelta() for attempts in range(1, MOST_ATTEMPTS)]

    assert pauses[:3] == [timedelta(seconds=1), timedelta(seconds=2), timedelta(seconds=4)]
    assert pauses == sorted(pauses)
    assert pauses[-1] == timedelta(minutes=10)
    assert pause_after(MOST_ATTEMPTS) is None


def test_the_cutoff_is_six_minutes():
    assert load(Settings, "EXPORT_", environ()).cutoff == timedelta(minutes=6)


def test_a_longer_cutoff_may_be_set():
    assert load(Settings, "EXPORT_", environ(EXPORT_CUTOFF="600")).cutoff == timedelta(minutes=10)


def test_a_shorter_cutoff_keeps_the_service_from_starting():
    with pytest.raises(SettingsError, match="EXPORT_CUTOFF is shorter than 360 seconds"):
        load(Settings, "EXPORT_", environ(EXPORT_CUTOFF="359"))


def test_a_development_stack_may_have_a_shorter_one():
    settings = environ(EXPORT_CUTOFF="0", EXPORT_DEVELOPMENT="true")

    assert load(Settings, "EXPORT_", settings).cutoff == timedelta(0)
