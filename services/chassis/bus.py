"""NATS JetStream: a fast, lossy copy of the outbox (design section 5).

Streams and consumers are made by the services and made again where they are gone; a stream that
differs from ours is refused. NATS down fails no call: `publish` says Unavailable, and the relay
tries again.
"""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    DiscardPolicy,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.errors import NotFoundError

from services.chassis.errors import Unavailable
from services.chassis.logs import get_logger
from services.chassis.outbox import Event
from services.chassis.publishing import PUBLISH_SECONDS, Publisher, StreamGone
from services.chassis.relay import Failure

ACK_WAIT_SECONDS = 30
RECONNECT_SECONDS = (0.5, 1.5)
HEARTBEAT_SECONDS = 1.0
_WEEK_SECONDS = 7 * 86_400
_DUPLICATES_SECONDS = 600
_BATCH = 200
# A lone event is handed over at once, a crowd in batches: fewer transactions for all of them. A
# flood, as an import is, gathers longer, and so does who is slow, so that under load this takes a
# part of the time only; a full batch has more behind it that is waiting already.
GATHER_SECONDS = 0.06
_FLOOD_SECONDS = 0.1
_FLOOD = 32
_EXPIRES_SECONDS = 5

log = get_logger()


class Drifted(Exception):
    """A stream exists whose settings are not ours; an operator has to look at it."""


class Bus:
    """One process's connection; connects, and connects again, for ever."""

    def __init__(self, url: str, *, service: str, replicas: int = 1) -> None:
        self._url = url
        self._service = service
        self._replicas = replicas
        self._client = Client()
        self._context: JetStreamContext | None = None
        self._publisher: Publisher | None = None
        self._ended = asyncio.Event()
        self._ended.set()
        self._wake_handlers: dict[str, Callable[[], None]] = {}

    async def run(self) -> None:
        """Connect and stay; the client connects again by itself. May be run again after a failure.

        Raises Unavailable where the client gave up for good, as it does on many errors that a
        server tells it, and Drifted.
        """
        if self._ended.is_set():
            await self._connect()
        await self.ensure_stream(self._service)
        await self._ended.wait()
        raise Unavailable("NATS ended the connection")

    async def _connect(self) -> None:
        # A new one each time: a client that was closed is of no use any more.
        self._client = client = Client()
        self._context = self._publisher = None
        await client.connect(
            self._url,
            name=self._service,
            no_echo=True,  # its own wake-ups are no news to it
            max_reconnect_attempts=-1,
            # Not all at once; any number of seconds will do, whatever its type says.
            reconnect_time_wait=random.uniform(*RECONNECT_SECONDS),  # type: ignore[arg-type]
            ping_interval=10,
            connect_timeout=2,
            error_cb=_on_error,
            closed_cb=self._on_closed,
            inbox_prefix=f"_INBOX_{self._service}".encode(),
        )
        for subject, handler in self._wake_handlers.items():
            await client.subscribe(subject, cb=_ignoring_message(handler))
        publisher = Publisher(client)
        await publisher.listen()
        self._publisher = publisher
        if not client.is_closed:
            self._ended.clear()
            log.info("bus_connected")

    async def _on_closed(self) -> None:
        self._ended.set()
        log.warning("bus_closed")

    @property
    def connected(self) -> bool:
        return self._client.is_connected

    @property
    def client(self) -> Client:
        """The connection; raises Unavailable while there is none."""
        if not self._client.is_connected:
            raise Unavailable("NATS is out of reach")
        return self._client

    @property
    def jetstream(self) -> JetStreamContext:
        client = self.client
        # One a connection: a context brings events and semaphores, dearer than a publish.
        if self._context is None:
            self._context = client.jetstream(timeout=PUBLISH_SECONDS)
        return self._context

    @property
    def publisher(self) -> Publisher:
        """Of the connection; raises Unavailable while there is none."""
        if self._publisher is None or not self._client.is_connected:
            raise Unavailable("NATS is out of reach")
        return self._publisher

    async def close(self) -> None:
        if self._client.is_connected:
            await self._client.drain()
        elif not self._ended.is_set():
            await self._client.close()

    async def publish_all(self, events: Sequence[Event]) -> Sequence[Failure | None]:
        """What stood in the way of each; None once the stream has stored it.

        Unavailable where that is not known (the same id may be published again), Refused where NATS
        will never take it.
        """
        try:
            failures = await self.publisher.publish(events)
            if any(isinstance(failure, StreamGone) for failure in failures):
                await self.ensure_stream(self._service)
        except Unavailable as error:
            return [error] * len(events)
        return failures

    async def publish(self, event: Event) -> None:
        """As `publish_all` for one, which raises what stood in its way."""
        [failure] = await self.publish_all([event])
        if failure is not None:
            raise failure

    def on_wake(self, service: str, handler: Callable[[], None]) -> None:
        """Call `handler` when another copy of `service` has positioned events; before `run`."""
        self._wake_handlers[f"wake.{service}"] = handler

    async def wake(self) -> None:
        """Tell the other copies of this service that there are new positions; a courtesy."""
        if self._client.is_connected:
            with suppress(NatsError):
                await self._client.publish(f"wake.{self._service}", b"")

    async def ensure_stream(self, service: str) -> None:
        """Make a service's stream where it is absent; raises Drifted where it is not as ours."""
        wanted = _stream_config(service, self._replicas)
        jetstream = self.jetstream
        try:
            try:
                found = (await jetstream.stream_info(service.upper())).config
            except NotFoundError:
                found = (await jetstream.add_stream(wanted)).config
                log.info("stream_made", stream=service.upper())
        except (NatsError, TimeoutError) as error:
            raise Unavailable("JetStream is out of reach") from error
        if not _same(found, wanted):
            raise Drifted(f"stream {service.upper()} is not configured as this release needs it")

    async def ensure_consumer(self, source: str, durable: str) -> None:
        """Make a durable pull consumer on a service's stream, and the stream, where absent."""
        await self.ensure_stream(source)
        try:
            await self.jetstream.add_consumer(source.upper(), _consumer_config(durable))
        except (NatsError, TimeoutError) as error:
            raise Unavailable("JetStream is out of reach") from error


def _stream_config(service: str, replicas: int) -> StreamConfig:
    return StreamConfig(
        name=service.upper(),
        subjects=[f"{service}.>"],
        storage=StorageType.FILE,
        retention=RetentionPolicy.LIMITS,
        max_age=_WEEK_SECONDS,
        discard=DiscardPolicy.NEW,
        duplicate_window=_DUPLICATES_SECONDS,
        num_replicas=replicas,
    )


def _same(found: StreamConfig, wanted: StreamConfig) -> bool:
    names = ("subjects", "storage", "retention", "discard", "max_age", "duplicate_window")
    return all(getattr(found, name) == getattr(wanted, name) for name in names)


def _consumer_config(durable: str) -> ConsumerConfig:
    return ConsumerConfig(
        durable_name=durable,
        ack_policy=AckPolicy.EXPLICIT,
        deliver_policy=DeliverPolicy.ALL,
        ack_wait=ACK_WAIT_SECONDS,
        max_deliver=-1,
        max_ack_pending=1_000,
    )


class PullConsumer:
    """A durable pull consumer's loop of our own: nats-py's `fetch` of many stalls.

    Hands over what has arrived, in batches; whoever gets a batch acks or naks each message.
    """

    def __init__(self, bus: Bus, *, source: str, durable: str) -> None:
        self._bus = bus
        self._source = source
        self._durable = durable
        self._asked = 0
        self._not_before = 0.0

    async def run(self, take: Callable[[list[Msg]], Awaitable[None]]) -> None:
        """Serve for ever, over reconnects, restarts and deleted stores."""
        while True:
            try:
                await self._serve(take)
            except (Unavailable, NatsError, TimeoutError):
                await asyncio.sleep(0.25)

    async def _serve(self, take: Callable[[list[Msg]], Awaitable[None]]) -> None:
        client, loop = self._bus.client, asyncio.get_running_loop()
        await self._bus.ensure_consumer(self._source, self._durable)
        subscription = await client.subscribe(client.new_inbox())
        try:
            self._asked = 0
            while batch := await self._next_batch(client, subscription):
                began = loop.time()
                if messages := [message for message in batch if not _status(message)]:
                    await take(messages)
                took = loop.time() - began
                self._not_before = began + _pause_after(len(batch), took)
        finally:
            if client.is_connected:
                await subscription.unsubscribe()

    async def _next_batch(self, client: Client, subscription: Subscription) -> list[Msg]:
        """What has arrived, at least one message; nothing when it is time to bind again."""
        if self._asked <= 0:
            await self._ask(client, subscription)
        try:
            batch = [await subscription.next_msg(timeout=2.5 * HEARTBEAT_SECONDS)]
        except (TimeoutError, NatsError):
            return []
        loop = asyncio.get_running_loop()
        await asyncio.sleep(self._not_before - loop.time())
        while subscription.pending_msgs and len(batch) < _BATCH:
            batch.append(await subscription.next_msg(timeout=1))
        for message in batch:
            status = _status(message)
            if status in ("404", "408", "409"):
                self._asked = 0
            elif not status:
                self._asked -= 1
            if status == "503" or (status == "409" and "eleted" in _description(message)):
                return []
        return batch

    async def _ask(self, client: Client, subscription: Subscription) -> None:
        request = {
            "batch": _BATCH,
            "expires": _EXPIRES_SECONDS * 10**9,
            "idle_heartbeat": int(HEARTBEAT_SECONDS * 10**9),
        }
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._source.upper()}.{self._durable}"
        await client.publish(subject, json.dumps(request).encode(), reply=subscription.subject)
        self._asked = _BATCH


def _pause_after(count: int, took: float) -> float:
    """Seconds from a batch's beginning until the next may be handed over."""
    if count >= _BATCH:
        return 0.0
    gather = _FLOOD_SECONDS if count >= _FLOOD else GATHER_SECONDS
    return max(gather, took + min(took, _FLOOD_SECONDS))


def _status(message: Msg) -> str:
    return (message.headers or {}).get("Status", "") if not message.data else ""


def _description(message: Msg) -> str:
    return (message.headers or {}).get("Description", "")


def _ignoring_message(handler: Callable[[], None]) -> Callable[[Msg], Awaitable[None]]:
    async def on_message(_: Msg) -> None:
        handler()

    return on_message


async def _on_error(error: Exception) -> None:
    log.warning("bus_error", error=type(error).__name__)
