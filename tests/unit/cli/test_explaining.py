"""Causes are told in their order, each in a sentence."""

from io import StringIO

import pytest
from rich.console import Console

from clinic.conversations.v1.delivery_cause_pb2 import DeliveryCause
from clinic.notifications.v1 import delivery_pb2
from services.cli.__main__ import main
from services.cli.commands.explaining import _OTHER, told_of

ID = "0199d1a0-5b7e-7c31-9f6a-3f1f0a4c2b11"


def printed(*causes):
    output = StringIO()
    Console(file=output, width=100).print(told_of(causes).shown)
    return output.getvalue()


@pytest.mark.parametrize("kind", DeliveryCause.Kind.values())
def test_every_kind_has_its_words(kind):
    known = kind not in (DeliveryCause.KIND_UNSPECIFIED, DeliveryCause.KIND_NOTIFICATION)

    assert (_OTHER not in printed(DeliveryCause(kind=kind))) == known


def test_a_kind_that_came_later_is_no_failure():
    assert _OTHER in printed(DeliveryCause.FromString(b"\x08\x63"))


def test_causes_stand_in_their_order_with_what_they_are_about():
    delivery = delivery_pb2.Delivery(
        delivery_id=ID,
        channel=delivery_pb2.CHANNEL_EMAIL,
        state=delivery_pb2.DELIVERY_STATE_SENT,
        provider_state=delivery_pb2.PROVIDER_STATE_BOUNCED,
        send_time={"seconds": 1_760_000_000},
    )

    told = printed(
        DeliveryCause(kind=DeliveryCause.KIND_MAIL_NOT_ARRIVING),
        DeliveryCause(kind=DeliveryCause.KIND_NOTIFICATION, delivery=delivery),
        DeliveryCause(kind=DeliveryCause.KIND_LIKELY_DUPLICATE, related_profile_id=ID),
    )

    assert "Email: sent, bounced" in told
    assert "2025-10-" in told
    assert told.count(ID) == 2
    assert told.index("not reaching") < told.index("bounced") < told.index("same person")


def test_a_mail_that_the_rules_did_not_want_says_which():
    delivery = delivery_pb2.Delivery(
        channel=delivery_pb2.CHANNEL_EMAIL,
        state=delivery_pb2.DELIVERY_STATE_SKIPPED,
        reason=delivery_pb2.DELIVERY_REASON_SIGNED_IN,
        provider_state=delivery_pb2.PROVIDER_STATE_UNSENT,
    )

    told = printed(DeliveryCause(kind=DeliveryCause.KIND_NOTIFICATION, delivery=delivery))

    assert "Email: skipped (signed in)\n" in told.replace(" \n", "\n").replace("  ", "")


def test_nothing_in_the_way_is_said():
    assert printed() == "Nothing stands in the way.\n"


@pytest.mark.parametrize("words", [[], [ID, "--of", ID]])
def test_one_subject_has_to_be_named(words, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("LOCAL_STATE", str(tmp_path))

    assert main(["ops", "explain", *words]) == 1

    assert "Say of what" in capsys.readouterr().err
