"""Return paths that only we make, and reports that say what became of a mail (RFC 3464)."""

from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.notifications.channels.reports import MOST_BYTES, read_report
from services.notifications.channels.return_paths import NotOurs, ReturnPaths
from services.notifications.domain.feedback import Feedback

PATHS = ReturnPaths(bytes(32), domain="Clinic.test")


def report(*recipients, kind="multipart/report; report-type=delivery-status"):
    """A report as Postfix writes it, with the mail that came back behind it."""
    fields = "".join(
        f"Final-Recipient: rfc822; nadia@mail.test\r\nAction: {action}\r\nStatus: {status}\r\n"
        "Diagnostic-Code: smtp; as the other side said it\r\n\r\n"
        for action, status in recipients
    )
    return (
        f'From: MAILER-DAEMON\r\nContent-Type: {kind}; boundary="b"\r\nMIME-Version: 1.0\r\n\r\n'
        "--b\r\nContent-Type: text/plain\r\n\r\nI am sorry.\r\n"
        "--b\r\nContent-Type: message/delivery-status\r\n\r\n"
        f"Reporting-MTA: dns; mail.test\r\nArrival-Date: today\r\n\r\n{fields}"
        "--b\r\nContent-Type: text/rfc822-headers\r\n\r\nAction: failed\r\nStatus: 5.0.0\r\n"
        "--b--\r\n"
    ).encode()


def test_a_return_path_names_its_dispatch_whatever_becomes_of_its_letters():
    dispatch_id = uuid4()

    address = PATHS.of(dispatch_id)

    assert len(address.partition("@")[0]) <= 64
    for written in (address, address.upper(), address.title()):
        assert PATHS.dispatch_of(written) == dispatch_id


def test_nobody_else_makes_a_return_path():
    dispatch_id, other = uuid4(), uuid4()
    address = PATHS.of(dispatch_id)
    local, _, domain = address.partition("@")
    id, _, proof = local.partition(".")
    wrong = [
        "",
        "@",
        "messages@clinic.test",
        f"{id}@{domain}",
        f"{id}.@{domain}",
        f"{id}.{proof[:-1]}@{domain}",
        f"{id}.{proof}a@{domain}",
        f"{PATHS.of(other).partition('.')[0]}.{proof}@{domain}",
        f"{local}@elsewhere.test",
        f"{local.removeprefix('bounce+')}@{domain}",
        f"bounce+{'ü' * 26}.{proof}@{domain}",
        ReturnPaths(bytes(range(32)), domain=domain).of(dispatch_id),
    ]

    for address in wrong:
        with pytest.raises(NotOurs):
            PATHS.dispatch_of(address)


@pytest.mark.parametrize(
    ("recipients", "says"),
    [
        ([("failed", "5.1.1")], Feedback.BAD_RECIPIENT),
        ([("Failed (expired)", "5.0.0 (unknown)")], Feedback.BAD_RECIPIENT),
        ([("failed", "4.4.1")], Feedback.BOUNCED),
        ([("failed", "")], Feedback.BOUNCED),
        ([("failed", "550")], Feedback.BOUNCED),
        ([("delivered", "2.0.0")], Feedback.DELIVERED),
        ([("delayed", "4.4.1")], None),
        ([("relayed", "2.0.0")], None),
        ([("expanded", "5.0.0")], None),
        (
            [("delivered", "2.0.0"), ("failed", "5.1.1"), ("failed", "4.2.2")],
            Feedback.BAD_RECIPIENT,
        ),
        ([], None),
    ],
)
def test_a_report_says_what_became_of_the_mail(recipients, says):
    assert read_report(report(*recipients)) is says


@pytest.mark.parametrize(
    "mail",
    [
        b"",
        b"Subject: out of office\r\n\r\nStatus: 5.1.1\r\nAction: failed\r\n",
        report(("failed", "5.1.1"), kind="multipart/mixed"),
        b"Content-Type: multipart/report\r\n\r\n--b\r\nno boundary\r\n",
        b"Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\n"
        b"Content-Type: message/delivery-status\r\n\r\nAction: failed\r\nStatus: 5.1.1\r\n",
    ],
)
def test_what_is_no_report_says_nothing(mail):
    assert read_report(mail) is None


@settings(max_examples=300, deadline=None)
@given(cut=st.integers(0, 900), junk=st.binary(max_size=200), at=st.integers(0, 900))
def test_no_bytes_do_harm(cut, junk, at):
    whole = report(("failed", "5.1.1"))

    for mail in (junk, whole[:cut], whole[:at] + junk + whole[at:]):
        assert read_report(mail) in (None, *Feedback)


def test_a_report_of_reports_does_no_harm():
    depth = MOST_BYTES // 90
    nested = b"".join(
        b"Content-Type: multipart/report; boundary=b%d\r\n\r\n--b%d\r\n" % (each, each)
        for each in range(depth)
    )

    assert read_report(nested) is None
