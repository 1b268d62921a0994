"""Events that were given up: looked at, replayed with one effect at most, discarded (P20)."""

import asyncio
from uuid import uuid4

import grpc
import pytest

from services.chassis import dead_letters
from services.chassis.inbox import Intake
from services.chassis.sweep import start_at_oldest
from tests.support.background import running
from tests.support.effects import CONSUMER
from tests.support.eventually import eventually
from tests.support.grpc_world import failure, reason
from tests.support.operations_world import SERVICE

_EFFECTS = "select object_id::uuid from audit where action = 'effect'"


@pytest.fixture
def intake(backbone, effects):
    """A consumer of this process."""
    intake = Intake(consumer=CONSUMER, app=backbone.app, worker=backbone.worker, handle=effects)

    async def list_events(incarnation, after, most):
        return []

    backbone.consume(
        intake, source="directory", list_events=list_events, start_again=start_at_oldest
    )
    return intake


@pytest.fixture
async def letters(intake, events):
    """All five events given up; the ids of their letters, newest first."""
    for event in events:
        await intake.set_aside(event, ValueError("private"), 20)
    return intake


async def _listed(ops, **options):
    return list((await ops("ListDeadLetters", **options)).dead_letters)


async def test_dead_letters_are_listed_newest_first_with_their_events(ops, letters, events):
    listed = await _listed(ops)

    assert [letter.event.position for letter in listed] == [5, 4, 3, 2, 1]
    last = listed[0]
    assert (last.consumer, last.source, last.error_class) == (CONSUMER, SERVICE, "ValueError")
    assert (last.attempts, last.event.aggregate_id) == (20, str(events[4].aggregate_id))
    assert (await ops("GetDeadLetter", dead_letter_id=last.dead_letter_id)).dead_letter == last


async def test_dead_letters_are_paged_and_filtered(ops, letters):
    first = await ops("ListDeadLetters", page_size=3, consumer=CONSUMER)
    second = await ops(
        "ListDeadLetters", page_size=3, consumer=CONSUMER, page_token=first.next_page_token
    )

    positions = [letter.event.position for letter in [*first.dead_letters, *second.dead_letters]]
    assert positions == [5, 4, 3, 2, 1]
    assert second.next_page_token == ""
    assert await _listed(ops, consumer="relay") == []


async def _replay(ops, letter, request_id=None):
    response = await ops(
        "ReplayDeadLetter",
        dead_letter_id=letter.dead_letter_id,
        request_id=str(request_id or uuid4()),
    )
    return response.handled


async def test_a_replay_has_the_effect_once_and_removes_the_letter(ops, letters, events, look):
    letter, request_id = (await _listed(ops))[0], uuid4()

    assert await _replay(ops, letter, request_id)
    assert await _replay(ops, letter, request_id)  # a repeat says so again

    assert look(_EFFECTS) == [(events[4].event_id,)]
    assert len(await _listed(ops)) == 4
    assert look("select actor, action, object_id from audit where action <> 'effect'") == [
        ("ops:support", "replay_dead_letter", letter.dead_letter_id)
    ]


async def test_a_replay_that_fails_keeps_the_letter_with_one_attempt_more(
    ops, letters, effects, look
):
    letter, request_id = (await _listed(ops))[0], uuid4()
    effects.fails = lambda _: KeyError("still")

    assert not await _replay(ops, letter, request_id)

    kept = (await ops("GetDeadLetter", dead_letter_id=letter.dead_letter_id)).dead_letter
    assert (kept.attempts, kept.error_class) == (21, "KeyError")
    effects.fails = lambda _: None
    assert await _replay(ops, letter, request_id)
    assert len(look(_EFFECTS)) == 1


async def test_a_replay_that_failed_holds_the_event_back_from_both_roads(
    ops, letters, effects, intake, events
):
    effects.fails = lambda _: KeyError("still")
    await _replay(ops, (await _listed(ops))[0])

    assert await intake.unclaimed(events) == []


async def test_replays_at_once_have_one_effect(ops, letters, look):
    letter = (await _listed(ops))[0]

    ended = await asyncio.gather(*(_replay(ops, letter) for _ in range(4)), return_exceptions=True)

    assert True in ended
    late = [each for each in ended if isinstance(each, grpc.aio.AioRpcError)]
    assert len(late) == sum(not isinstance(each, bool) for each in ended)
    assert {reason(error) for error in late} <= {"DEAD_LETTER_NOT_FOUND"}
    assert len(look(_EFFECTS)) == 1


async def test_a_replay_after_one_that_crashed_behind_its_effect_has_no_second(
    ops, letters, backbone, look
):
    letter = (await _listed(ops))[0]
    found = await backbone.worker.connect(
        lambda c: dead_letters.page(c, consumer="", before=None, most=1)
    )
    await backbone.replay(found[0])  # and the process dies before it removes the letter

    assert await _replay(ops, letter)

    assert len(look(_EFFECTS)) == 1


async def test_a_letter_that_another_replay_set_aside_again_is_not_taken_for_handled(
    ops, letters, backbone, effects, look
):
    (letter,) = await backbone.worker.connect(
        lambda c: dead_letters.page(c, consumer="", before=None, most=1)
    )
    error = ValueError("in the other replay")
    await backbone.worker.connect(lambda c: dead_letters.release(c, letter))
    await backbone.worker.connect(lambda c: dead_letters.tried_again(c, letter, error))
    assert await effects([letter.event]) is None  # finds the letter's claim, and does nothing

    assert not await backbone.worker.connect(lambda c: dead_letters.settle(c, letter))

    assert look(_EFFECTS) == []
    assert len(await _listed(ops)) == 5


async def test_an_event_that_the_bus_refused_is_published_again(
    ops, events, backbone, worker, operator, broker
):
    await worker.connect(
        lambda c: dead_letters.add(
            c, events[0], consumer=dead_letters.RELAY, error=ValueError(), attempts=1
        )
    )
    (letter,) = await _listed(ops)
    assert not await _replay(ops, letter)  # the bus is not connected

    async with running(backbone.bus.run()):
        await eventually(lambda: _replay(ops, letter))
        message = await operator.get_msg("CONVERSATIONS", 1)

    assert message.headers["ce-id"] == str(events[0].event_id)
    assert message.headers["ce-aggregate"] == str(events[0].aggregate_id)
    assert await _listed(ops) == []


async def test_a_letter_of_a_consumer_that_is_no_more_stays(ops, events, worker):
    await worker.connect(
        lambda c: dead_letters.add(c, events[0], consumer="of old", error=ValueError(), attempts=1)
    )
    (letter,) = await _listed(ops)

    assert not await _replay(ops, letter)
    assert len(await _listed(ops)) == 1


async def test_a_discarded_letter_is_gone_and_its_event_never_handled(
    ops, letters, intake, events, look
):
    letter, request_id = (await _listed(ops))[0], str(uuid4())
    discard = {"dead_letter_id": letter.dead_letter_id, "request_id": request_id}

    await ops("DiscardDeadLetter", **discard)
    await ops("DiscardDeadLetter", **discard)

    assert len(await _listed(ops)) == 4
    assert await intake.unclaimed(events) == []
    assert look("select action, object_id from audit") == [
        ("discard_dead_letter", letter.dead_letter_id)
    ]


@pytest.mark.parametrize("method", ["GetDeadLetter", "ReplayDeadLetter", "DiscardDeadLetter"])
async def test_a_letter_that_was_never_there_is_not_found(ops, method):
    fields = {"dead_letter_id": str(uuid4())}
    if method != "GetDeadLetter":
        fields["request_id"] = str(uuid4())

    error = await failure(ops(method, **fields))

    assert (error.code(), reason(error)) == (
        grpc.StatusCode.NOT_FOUND,
        "DEAD_LETTER_NOT_FOUND",
    )


async def test_a_letter_that_another_call_removed_is_not_found(ops, letters):
    letter = (await _listed(ops))[0]
    await _replay(ops, letter)

    assert reason(await failure(_replay(ops, letter))) == "DEAD_LETTER_NOT_FOUND"
