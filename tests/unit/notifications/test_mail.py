"""What a mail says, and what it must not (R14, R15, P12)."""

from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import default
from uuid import UUID, uuid4

import pytest

from services.messaging_rule import Side
from services.notifications.channels.rendering import Composer
from services.notifications.channels.unsubscribe import StaffMail, TokenInvalid, UnsubscribeTokens
from services.notifications.domain.delivery import Recipient
from services.notifications.domain.mail import SUBJECT, Addressee, Contents, one_line

TOKENS = UnsubscribeTokens(bytes(32))
PROFILE = UUID("00000000-0000-7000-8000-000000000001")
LATEST = datetime(2026, 3, 2, 11, 59, 3, 123456, tzinfo=UTC)
THREAD = UUID("00000000-0000-7000-8000-000000000002")


def contents(side=Side.PROFILE, *, count=1, conversation_id=THREAD):
    return Contents(
        dispatch_id=uuid4(),
        clinic_id=uuid4(),
        recipient=Recipient(side, PROFILE),
        count=count,
        conversation_id=conversation_id,
        latest_at=LATEST,
    )


def addressee(**changes):
    given = {
        "address": "nadia@mail.test",
        "sender_name": "Harbour Clinic",
        "portal_base": "https://portal.test/clinic",
    }
    return Addressee(**given | changes)


def composed(what, whom=None, *, public_url="https://notify.test/"):
    composer = Composer(
        sender="messages@clinic.test",
        tokens=TOKENS,
        public_url=public_url,
        clock=lambda: datetime(2026, 3, 2, 12, 0, tzinfo=UTC),
    )
    return composer.compose(what, whom or addressee())


def read(raw):
    return message_from_bytes(raw, policy=default)


def parts(raw):
    mail = read(raw)
    return [mail.get_body((kind,)).get_content() for kind in ("plain", "html")]


def test_it_says_how_many_and_where_to_read_them():
    link = f"https://portal.test/clinic/messages/{THREAD}?profile={PROFILE}"

    for part in parts(composed(contents(count=3))):
        assert "3 new secure messages" in part
        assert link in part


def test_one_message_is_not_called_messages():
    for part in parts(composed(contents(count=1))):
        assert "a new secure message" in part
        assert "messages" not in part.replace("/messages/", "")


def test_messages_of_several_threads_are_read_in_the_inbox():
    for part in parts(composed(contents(count=3, conversation_id=None))):
        assert f"https://portal.test/clinic/messages?profile={PROFILE}" in part


def test_without_a_portal_there_is_no_link():
    for part in parts(composed(contents(), addressee(portal_base=""))):
        assert "https://" not in part
        assert "sign in" in part


@pytest.mark.parametrize("count", [1, 2, 50])
def test_the_subject_never_changes_and_the_sender_is_the_clinic(count):
    mail = read(composed(contents(count=count)))

    assert mail["Subject"] == SUBJECT
    assert mail["From"].addresses[0].display_name == "Harbour Clinic"
    assert mail["From"].addresses[0].addr_spec == "messages@clinic.test"
    assert mail["To"] == "nadia@mail.test"
    assert mail["Auto-Submitted"] == "auto-generated"


def test_a_repeat_of_a_dispatch_has_the_same_message_id():
    what = contents()

    first, second = read(composed(what)), read(composed(what))

    assert first["Message-ID"] == second["Message-ID"] == f"<{what.dispatch_id}@clinic.test>"


@pytest.mark.parametrize(
    "name",
    [
        "Müller, Ärzte & Co.",
        'Dr. "Quote" <evil@mail.test>',
        "Zentrum für Physiotherapie, Rehabilitation und Ergotherapie in der Innenstadt, Haus B",
        "診療所 第一、受付",
        "a" * 100,
    ],
)
def test_any_name_of_a_clinic_is_one_sender(name):
    raw = composed(contents(), addressee(sender_name=name))

    (sender,) = read(raw)["From"].addresses
    assert (sender.display_name, sender.addr_spec) == (name, "messages@clinic.test")
    assert max(map(len, raw.split(b"\r\n"))) < 998


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\v", "\x85", "\u2028", "\x00"])
def test_a_clinic_s_name_cannot_add_a_header(end):
    raw = composed(contents(), addressee(sender_name=f"Clinic{end}Bcc: evil@mail.test"))

    assert "Bcc" not in read(raw)
    assert read(raw)["From"].addresses[0].display_name == "Clinic Bcc: evil@mail.test"
    assert one_line(f"a{end}b") == "a b"


def test_a_clinic_s_name_is_text_in_the_html():
    _, html = parts(composed(contents(), addressee(sender_name="<script>alert(1)</script>")))

    assert "<script" not in html
    assert "&lt;script&gt;" in html


def test_staff_mail_carries_one_click_unsubscribe_as_it_stands():
    what = contents(Side.STAFF)

    raw = composed(what)

    (line,) = [line for line in raw.split(b"\r\n") if line.startswith(b"List-Unsubscribe:")]
    url = line.decode().removeprefix("List-Unsubscribe: <").removesuffix(">")
    assert url.startswith("https://notify.test/unsubscribe?token=")
    assert read(raw)["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    token = url.partition("token=")[2]
    assert TOKENS.open(token) == StaffMail(
        clinic_id=what.clinic_id,
        staff_id=PROFILE,
        dispatch_id=what.dispatch_id,
        latest_at=LATEST,
    )


def test_patients_have_nothing_to_unsubscribe_from():
    raw = composed(contents(Side.PROFILE))

    assert "List-Unsubscribe" not in read(raw)
    assert b"unsubscribe" not in raw


def test_without_a_public_address_staff_mail_goes_without_unsubscribe():
    assert "List-Unsubscribe" not in read(composed(contents(Side.STAFF), public_url=None))


def test_a_token_that_we_did_not_make_opens_nothing():
    token = TOKENS.seal(contents(Side.STAFF))
    others = UnsubscribeTokens(bytes(range(32))).seal(contents(Side.STAFF))

    changed = ("B" if token[0] == "A" else "A") + token[1:]

    for wrong in ("", "x", "%", "ü", token[:-4], token + "AA", changed, others):
        with pytest.raises(TokenInvalid):
            TOKENS.open(wrong)
