"""Publishing to JetStream: sent one behind the other, acknowledged together (design section 5).

nats-py's own `publish` waits for each, which costs twice as much.
"""

import asyncio
import json
from collections.abc import Sequence
from itertools import count

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from services.chassis.envelope import size, to_headers
from services.chassis.errors import Unavailable
from services.chassis.outbox import Event
from services.chassis.relay import Failure, Refused

PUBLISH_SECONDS = 2.0
# The stream, or the account, has no room left: room is made, and then it goes on.
_FULL = frozenset({10077, 10002})


class StreamGone(Unavailable):
    """Nobody stores what is published there."""


class Publisher:
    """Of one connection, from `listen` on."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._inbox = ""
        self._numbers = count()
        self._waiting: dict[str, asyncio.Future[Msg]] = {}

    async def listen(self) -> None:
        """Begin to hear what becomes of what is published."""
        self._inbox = self._client.new_inbox()
        await self._client.subscribe(f"{self._inbox}.*", cb=self._hear)

    async def publish(self, events: Sequence[Event]) -> Sequence[Failure | None]:
        """What stood in the way of each; None once the stream has stored it."""
        replies = [f"{self._inbox}.{next(self._numbers)}" for _ in events]
        try:
            sent = [await self._send(*each) for each in zip(events, replies, strict=True)]
            if answers := [each for each in sent if isinstance(each, asyncio.Future)]:
                await asyncio.wait(answers, timeout=PUBLISH_SECONDS)
            return [_told(each) if isinstance(each, asyncio.Future) else each for each in sent]
        finally:
            for reply in replies:
                self._waiting.pop(reply, None)

    async def _send(self, event: Event, reply: str) -> "asyncio.Future[Msg] | Failure":
        headers = to_headers(event)
        # More than this, headers included, and the server would end the whole connection.
        if size(headers, event.payload) > self._client.max_payload:
            return Refused()
        answer = self._waiting[reply] = asyncio.get_running_loop().create_future()
        try:
            await self._client.publish(event.subject, event.payload, reply=reply, headers=headers)
        except NatsError as error:
            return _unknown(error)
        return answer

    async def _hear(self, message: Msg) -> None:
        answer = self._waiting.get(message.subject)
        if answer is not None and not answer.done():
            answer.set_result(message)


def _told(answer: "asyncio.Future[Msg]") -> Failure | None:
    """What an acknowledgement says; none in time: not known, and the same id may be sent again."""
    if not answer.done():
        return _unknown(None)
    message = answer.result()
    if not message.data:  # a status alone: no responders
        return StreamGone("The stream was gone and is made again")
    error = json.loads(message.data).get("error")
    if error is None:
        return None
    if error.get("err_code") in _FULL or error.get("code", 500) >= 500:
        return Unavailable("The stream takes no events now")
    return Refused()


def _unknown(error: Exception | None) -> Unavailable:
    unknown = Unavailable("The event may not have been stored")
    unknown.__cause__ = error
    return unknown
