"""Settings that are wrong are told before anything starts."""

import base64

import pytest

from services.chassis.settings import SettingsError, load
from services.notifications.settings import Settings

RIGHT = {
    "DATABASE_URL": "postgresql://a",
    "WORKER_DATABASE_URL": "postgresql://w",
    "NATS_URL": "nats://n",
    "LISTEN": "127.0.0.1:1",
    "INTERNAL_LISTEN": "127.0.0.1:2",
    "HTTP_LISTEN": "127.0.0.1:3",
    "TOKEN_ISSUER": "issuer",
    "ISSUER_JWKS": "/i",
    "CALLERS_JWKS": "/c",
    "SIGNING_KEY": "/s",
    "SEALING_KEY": base64.b64encode(bytes(32)).decode(),
    "DIRECTORY_TARGET": "127.0.0.1:4",
    "CONVERSATIONS_TARGET": "127.0.0.1:5",
    "SMTP_HOST": "127.0.0.1",
    "SMTP_PORT": "25",
    "MAIL_FROM": "Clinic messages <messages@clinic.test>",
}


def loaded(**changes):
    environ = {f"N_{name}": value for name, value in (RIGHT | changes).items()}
    return load(Settings, "N_", environ)


def test_mail_comes_from_the_bare_address():
    assert loaded().sender_address == "messages@clinic.test"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"MAIL_FROM": "nobody"}, "MAIL_FROM"),
        ({"MAIL_FROM": "Clinic <@clinic.test>"}, "MAIL_FROM"),
        ({"SMTP_PORT": "0"}, "SMTP_PORT"),
        ({"SMTP_HOST": "a.test:0"}, "SMTP_HOST"),
        ({"SMTP_HOST": "a.test:70000"}, "SMTP_HOST"),
        ({"SMTP_HOST": "a.test/b"}, "SMTP_HOST"),
        ({"SMTP_HOST": "me@a.test"}, "SMTP_HOST"),
        ({"SMTP_HOST": "::1"}, "SMTP_HOST"),
        ({"SMTP_TLS": "yes"}, "SMTP_TLS"),
        ({"SMTP_USERNAME": "me"}, "SMTP_USERNAME"),
        ({"SMTP_USERNAME": "me", "SMTP_PASSWORD": "hidden"}, "SMTP_TLS"),
        ({"FCM_URL": "fcm.test"}, "FCM_URL"),
        ({"FCM_URL": "http://fcm.test"}, "FCM_URL"),
        ({"APNS_URL": "http://apns.test"}, "APNS_URL"),
        ({"APNS_KEY": "/key.p8"}, "APNS_TOPIC"),
        ({"APNS_TOPIC": "a.test"}, "APNS_KEY"),
        ({"PUBLIC_URL": "javascript:alert(1)"}, "PUBLIC_URL"),
        ({"BOUNCE_DOMAIN": "a b"}, "BOUNCE_DOMAIN"),
        ({"BOUNCE_LISTEN": "127.0.0.1:25"}, "BOUNCE_DOMAIN"),
        ({"BOUNCE_LISTEN": "0.0.0.0:25", "BOUNCE_DOMAIN": "clinic.test"}, "BOUNCE_LISTEN"),
        ({"BOUNCE_LISTEN": "mail.test:25", "BOUNCE_DOMAIN": "clinic.test"}, "BOUNCE_LISTEN"),
    ],
)
def test_what_is_wrong_is_named_and_secrets_are_not_repeated(changes, named):
    with pytest.raises(SettingsError) as raised:
        loaded(**changes)

    assert named in str(raised.value)
    assert "hidden" not in str(raised.value)


def test_several_mail_servers_are_named_in_their_order():
    settings = loaded(SMTP_HOST="a.test, b.test:2525, [::1], [::1]:2525")

    assert settings.smtp_addresses == [
        ("a.test", 25),
        ("b.test", 2525),
        ("::1", 25),
        ("::1", 2525),
    ]


def test_a_login_goes_over_tls():
    settings = loaded(SMTP_USERNAME="me", SMTP_PASSWORD="hidden", SMTP_TLS="starttls")

    assert settings.smtp_tls == "starttls"
    assert "hidden" not in repr(settings)
