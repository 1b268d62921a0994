"""Settings: read once, typed, and all that is wrong is told in one message."""

import base64
from dataclasses import dataclass, fields
from datetime import timedelta
from pathlib import Path

import pytest

from services.chassis.settings import (
    ChassisSettings,
    Secret,
    SettingsError,
    describe,
    load,
    setting,
)

KEY = base64.b64encode(bytes(32)).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    city: str = setting(help="where it stands")
    floors: int = setting(help="how many", default=2, check=lambda number: number > 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    inner: Inner
    password: Secret = setting(help="who may enter")
    rate: float = setting(help="per second", default=1.5)
    open: bool = setting(help="whether it is", default=False)
    folder: Path | None = setting(help="where the plans are", default=None)
    wait: timedelta = setting(help="how long", default=timedelta(seconds=3))
    names: tuple[str, ...] = setting(help="of the rooms", default=())
    port: int = setting(help="of the door", name="DOOR_PORT", default=80)


NEEDED = {"HOUSE_CITY": "Bergen", "HOUSE_PASSWORD": "sesame"}


def test_every_type_is_read():
    house = load(
        House,
        "HOUSE_",
        NEEDED
        | {
            "HOUSE_FLOORS": "7",
            "HOUSE_RATE": "0.25",
            "HOUSE_OPEN": "true",
            "HOUSE_FOLDER": "/plans",
            "HOUSE_WAIT": "0.5",
            "HOUSE_NAMES": "hall, attic,",
            "HOUSE_DOOR_PORT": "8080",
        },
    )

    assert house == House(
        inner=Inner(city="Bergen", floors=7),
        password=Secret("sesame"),
        rate=0.25,
        open=True,
        folder=Path("/plans"),
        wait=timedelta(seconds=0.5),
        names=("hall", "attic"),
        port=8080,
    )


def test_what_is_not_set_has_its_default():
    house = load(House, "HOUSE_", NEEDED)

    assert (house.inner.floors, house.rate, house.open, house.folder) == (2, 1.5, False, None)
    assert (house.wait, house.names, house.port) == (timedelta(seconds=3), (), 80)


def test_all_that_is_missing_or_malformed_is_told_at_once():
    wrong = {
        "HOUSE_FLOORS": "many",
        "HOUSE_RATE": "nan",
        "HOUSE_OPEN": "perhaps",
        "HOUSE_WAIT": "soon",
        "HOUSE_DOOR_PORT": "",
    }

    with pytest.raises(SettingsError) as refused:
        load(House, "HOUSE_", wrong)

    lines = str(refused.value).splitlines()[1:]
    assert [line.split()[0] for line in lines] == [
        "HOUSE_CITY",
        "HOUSE_FLOORS",
        "HOUSE_PASSWORD",
        "HOUSE_RATE",
        "HOUSE_OPEN",
        "HOUSE_WAIT",
    ]
    assert "  HOUSE_CITY is missing: where it stands (text)" in lines
    assert "  HOUSE_FLOORS is malformed: how many (whole number)" in lines


def test_a_value_that_fails_its_check_is_malformed():
    with pytest.raises(SettingsError, match="HOUSE_FLOORS is malformed"):
        load(House, "HOUSE_", NEEDED | {"HOUSE_FLOORS": "0"})


def test_a_malformed_value_is_not_repeated():
    with pytest.raises(SettingsError) as refused:
        load(House, "HOUSE_", NEEDED | {"HOUSE_FLOORS": "hunter2"})

    assert "hunter2" not in str(refused.value)


def test_a_secret_is_not_shown():
    house = load(House, "HOUSE_", NEEDED)

    assert "sesame" not in f"{house!r} {house.password} {house.password!r}"
    assert house.password.reveal() == "sesame"


def test_describing_names_every_variable_that_is_read():
    variables = {each.name: each for each in describe(House, "HOUSE_")}

    assert list(variables) == [
        "HOUSE_CITY",
        "HOUSE_FLOORS",
        "HOUSE_PASSWORD",
        "HOUSE_RATE",
        "HOUSE_OPEN",
        "HOUSE_FOLDER",
        "HOUSE_WAIT",
        "HOUSE_NAMES",
        "HOUSE_DOOR_PORT",
    ]
    assert variables["HOUSE_PASSWORD"].secret
    assert variables["HOUSE_PASSWORD"].default is None
    assert (variables["HOUSE_OPEN"].default, variables["HOUSE_WAIT"].default) == ("false", "3")
    assert variables["HOUSE_FOLDER"].default == ""


CHASSIS = {
    "X_DATABASE_URL": "postgresql://app:pw-app@localhost/x",
    "X_WORKER_DATABASE_URL": "postgresql://worker:pw-worker@localhost/x",
    "X_NATS_URL": "nats://user:pw-nats@localhost",
    "X_LISTEN": "127.0.0.1:0",
    "X_INTERNAL_LISTEN": "127.0.0.1:0",
    "X_HTTP_LISTEN": "127.0.0.1:0",
    "X_TOKEN_ISSUER": "https://sign-in.test",
    "X_ISSUER_JWKS": "issuer.jwks",
    "X_CALLERS_JWKS": "callers.jwks",
    "X_SIGNING_KEY": "service-x.jwk",
    "X_SEALING_KEY": KEY,
}


def test_the_common_settings_need_no_more_than_the_listed():
    settings = load(ChassisSettings, "X_", CHASSIS)

    assert settings.sealing_bytes == bytes(32)
    assert settings.tls is None
    assert not settings.development


def test_every_common_setting_says_what_it_is():
    assert all(each.help for each in describe(ChassisSettings, "X_"))
    assert len(list(describe(ChassisSettings, "X_"))) == len(fields(ChassisSettings))


def test_no_common_secret_is_shown():
    settings = load(ChassisSettings, "X_", CHASSIS)

    assert not any(secret in repr(settings) for secret in ("pw-app", "pw-worker", "pw-nats", KEY))


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("X_SEALING_KEY", base64.b64encode(bytes(31)).decode()),
        ("X_SEALING_KEY", "not base64"),
        ("X_POOL_SIZE", "0"),
        ("X_LOG_LEVEL", "loud"),
        ("X_LOG_FORMAT", "xml"),
        ("X_TLS_KEY", "key.pem"),
        ("X_TLS_AUTHORITY", "ca.pem"),
    ],
)
def test_common_settings_that_cannot_work_are_refused(variable, value):
    with pytest.raises(SettingsError, match=variable.removeprefix("X_")):
        load(ChassisSettings, "X_", CHASSIS | {variable: value})
