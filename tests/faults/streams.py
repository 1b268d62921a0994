"""What JetStream holds of the services' events."""

from collections.abc import Sequence
from contextlib import suppress

import nats
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig
from nats.js.errors import NotFoundError

from deploy.local.ports import SERVICES
from deploy.local.stack import Stack


async def check_streams(stack: Stack, services: Sequence[str] = SERVICES) -> None:
    """From the first event that a stream holds to the last, none is missing."""
    client = await nats.connect(stack.nats_url())
    try:
        for service in services:
            with suppress(NotFoundError):
                held = await _positions(client.jetstream(), service)
                missing = set(range(min(held, default=1), max(held, default=0))) - held
                assert not missing, f"{service}: {sorted(missing)}"
    finally:
        await client.close()


async def undelivered(stack: Stack, *, source: str, consumer: str) -> int:
    """Events that the stream has acknowledged and the consumer has not."""
    client = await nats.connect(stack.nats_url())
    try:
        info = await client.jetstream().consumer_info(source.upper(), f"{consumer}-{source}")
        return (info.num_pending or 0) + (info.num_ack_pending or 0)
    finally:
        await client.close()


async def _positions(jetstream: JetStreamContext, service: str) -> set[int]:
    left = (await jetstream.stream_info(service.upper())).state.messages
    events = await jetstream.subscribe(
        f"{service}.>", ordered_consumer=True, config=ConsumerConfig(headers_only=True)
    )
    found: set[int] = set()
    while left:
        message = await events.next_msg(timeout=5)
        found.add(int((message.headers or {})["ce-position"]))
        left = message.metadata.num_pending
    await events.unsubscribe()
    return found
