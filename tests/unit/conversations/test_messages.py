"""What may be sent, and what may be deleted when (R7, R27, R28, R38, I18)."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from services.conversations.domain.errors import (
    AttachmentsUnsupported,
    BodyBlank,
    BodyTooLong,
    DeleteWindowClosed,
    NotSender,
)
from services.conversations.domain.message import Message, check_body, check_deletable
from services.messaging_rule import Side

SENT_AT = datetime(2026, 3, 2, 9, tzinfo=UTC)


def a_message():
    return Message(
        id=uuid4(),
        clinic_id=uuid4(),
        conversation_id=uuid4(),
        sequence=1,
        sender_side=Side.STAFF,
        body="hello",
        sent_at=SENT_AT,
    )


@pytest.mark.parametrize("body", ["x", " x\n", "x" * 10_000, "👩‍⚕️" * 2_000, "\u202eevil", "a\0b"])
def test_any_text_within_the_limits_may_be_sent(body):
    check_body(body, "")


@pytest.mark.parametrize("body", ["", " ", "\n\t\r\n", "\u3000\u2003"])
def test_blank_text_is_refused(body):
    with pytest.raises(BodyBlank):
        check_body(body, "text/plain")


@pytest.mark.parametrize("body", ["x" * 10_001, "\U0001d4b3" * 10_001])
def test_text_over_the_limits_is_refused(body):
    with pytest.raises(BodyTooLong):
        check_body(body, "")


def test_anything_but_plain_text_is_refused():
    with pytest.raises(AttachmentsUnsupported):
        check_body("x", "image/png")


def test_the_window_includes_its_last_moment():
    check_deletable(a_message(), Side.STAFF, arrived_at=SENT_AT + timedelta(minutes=5))


def test_the_window_is_closed_a_microsecond_later():
    late = SENT_AT + timedelta(minutes=5, microseconds=1)

    with pytest.raises(DeleteWindowClosed):
        check_deletable(a_message(), Side.STAFF, arrived_at=late)


def test_the_other_side_may_never_delete():
    with pytest.raises(NotSender):
        check_deletable(a_message(), Side.PROFILE, arrived_at=SENT_AT)
