"""Following a stream of conversations: what comes out of order is never written."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from services.export.domain.stream import Conversation, Message, OutOfOrder, Place, Walk
from services.messaging_rule import Side

AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def conversation(number: int) -> Conversation:
    return Conversation(
        id=UUID(int=number), profile_id=UUID(int=100 + number), created_at=AT, archivals=[]
    )


def message(of: int, sequence: int, *, text: str | None = "hello") -> Message:
    return Message(
        id=UUID(int=1000 * of + sequence),
        conversation_id=UUID(int=of),
        sequence=sequence,
        sender_side=Side.STAFF,
        text=text,
        sent_at=AT,
        deleted_at=AT if text is None else None,
        read_at=None,
    )


def test_each_conversation_is_counted_once_it_is_all_told():
    walk = Walk(None)
    walk.enter(conversation(1))
    walk.take(message(1, 1))
    walk.take(message(1, 2, text=None))
    nothing_yet = walk.told()
    walk.enter(conversation(2))
    first = walk.told()
    walk.end()

    assert nothing_yet == []
    assert [(each.messages, each.tombstones) for each in first] == [(2, 1)]
    assert [(each.conversation.id, each.messages) for each in walk.told()] == [(UUID(int=2), 0)]


def test_a_walk_goes_on_from_its_place_as_if_it_had_never_stopped():
    walk = Walk(Place(conversation_id=UUID(int=1), sequence=2, tombstones=1))
    walk.enter(conversation(1))
    walk.take(message(1, 3, text=None))
    walk.end()

    assert [(each.messages, each.tombstones) for each in walk.told()] == [(3, 2)]


def test_a_walk_over_nothing_tells_nothing():
    walk = Walk(None)
    walk.end()

    assert walk.told() == []
    assert walk.place is None


@pytest.mark.parametrize(
    "items",
    [
        [message(1, 1)],
        [conversation(1), message(2, 1)],
        [conversation(1), message(1, 2)],
        [conversation(1), message(1, 1), message(1, 1)],
        [conversation(1), message(1, 1), message(1, 3)],
        [conversation(2), conversation(1)],
        [conversation(1), conversation(1)],
    ],
)
def test_what_comes_out_of_order_is_refused(items):
    walk = Walk(None)

    with pytest.raises(OutOfOrder):
        for item in items:
            walk.enter(item) if isinstance(item, Conversation) else walk.take(item)


@pytest.mark.parametrize(
    "items",
    [
        [],
        [conversation(2)],
        [message(1, 3)],
        [conversation(1), message(1, 2)],
    ],
)
def test_a_stream_that_does_not_go_on_where_it_broke_is_refused(items):
    walk = Walk(Place(conversation_id=UUID(int=1), sequence=2, tombstones=0))

    with pytest.raises(OutOfOrder):
        for item in items:
            walk.enter(item) if isinstance(item, Conversation) else walk.take(item)
        walk.end()
