"""Composition root: the only module that knows every concrete class of this service."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from functools import partial
from uuid import UUID

from clinic.conversations.v1.conversations_internal_service_pb2_grpc import (
    add_ConversationsInternalServiceServicer_to_server,
)
from clinic.conversations.v1.conversations_service_pb2_grpc import (
    add_ConversationsServiceServicer_to_server,
)
from clinic.operations.v1.operations_service_pb2_grpc import (
    add_OperationsServiceServicer_to_server,
)
from services.chassis.backbone import Backbone
from services.chassis.client import Peer, open_channel
from services.chassis.clock import system_clock
from services.chassis.database import Database
from services.chassis.events_client import EventsClient
from services.chassis.keys import DataKeys, FileKeyProvider
from services.chassis.lifecycle import Service
from services.chassis.limits import TokenBucket
from services.chassis.logs import get_logger
from services.chassis.operations import OperationsServicer
from services.chassis.outbox import Signal
from services.chassis.paging import PageTokens
from services.chassis.server import registration
from services.chassis.settings import load
from services.conversations.api.internal_servicer import ConversationsInternalServicer
from services.conversations.api.servicer import ConversationsServicer
from services.conversations.clients.witnesses import WitnessClients
from services.conversations.settings import PREFIX, Settings
from services.conversations.storage.archival import Archival
from services.conversations.storage.names import Name, Names
from services.conversations.storage.tail import Tail
from services.conversations.storage.texts import Texts
from services.conversations.storage.unit_of_work import Storage
from services.conversations.usecases.derive_archival import derive_archival
from services.conversations.usecases.refresh_names import refresh_names
from services.conversations.usecases.send_message import SendLimits
from services.directory_replica.directory import Details, DirectoryClient
from services.directory_replica.feed import apply_messages, feed_replica
from services.directory_replica.replica import Replica

NAME = "conversations"
_POLL_SECONDS = 5.0
# States come in crowds, as in an import: one pass for many.
_CROWD_SECONDS = 0.05
_REWRAP_SECONDS = 3600.0

log = get_logger()


async def compose() -> Service:
    """The service as the environment describes it; nothing is connected yet."""
    settings = load(Settings, f"{PREFIX}_", os.environ)
    chassis = settings.chassis
    backbone = Backbone(NAME, chassis)
    channel = open_channel(settings.directory_target, tls=chassis.tls)
    peer = Peer("directory", signer=backbone.signer)
    directory = DirectoryClient(channel, peer)
    notifications = open_channel(settings.notifications_target, tls=chassis.tls)
    witnesses = WitnessClients(
        notifications=(notifications, Peer("notifications", signer=backbone.signer)),
        directory=(channel, peer),
    )
    names_wanted, states_changed = Signal(), Signal()

    def applied() -> None:
        names_wanted.set()
        states_changed.set()

    replica = Replica(backbone.app, directory, applied=applied)
    feed_replica(backbone, replica, directory, EventsClient(channel, peer, source="directory"))
    provider = FileKeyProvider(settings.master_key_file, other=settings.other_master_key_file)
    keys = DataKeys(provider, backbone.app, system_clock)
    texts = Texts(keys, chassis.sealing_bytes)

    # A thread that begins makes the names of its two people wanted.
    storage = Storage(backbone.app, replica, texts, started=names_wanted.set)
    names = Names(backbone.app, backbone.worker)
    archival = Archival(backbone.app, backbone.worker)
    tail, draining = Tail(backbone.worker), asyncio.Event()
    backbone.on_positioned.append(tail.positioned.set)
    page_tokens = PageTokens(chassis.sealing_bytes)

    async def keys_open() -> str | None:
        await keys.check(backbone.worker)
        return None

    return Service(
        name=NAME,
        settings=chassis,
        verifier=backbone.verifier(),
        public=[
            registration(
                add_ConversationsServiceServicer_to_server,
                ConversationsServicer(storage, tail, witnesses, send_limits(settings), page_tokens),
            )
        ],
        internal=[
            registration(
                add_ConversationsInternalServiceServicer_to_server,
                ConversationsInternalServicer(storage, witnesses, partial(apply_messages, replica)),
            ),
            registration(
                add_OperationsServiceServicer_to_server,
                OperationsServicer(backbone, page_tokens, rotate=keys.rotate),
            ),
        ],
        tasks=backbone.tasks
        | {
            "names": lambda: keep_names(names, directory, names_wanted),
            "tail": tail.run,
            "drain": lambda: end_watches(tail, draining),
            "revocation": tail.revoke,
            "archival": lambda: keep_archival(archival, states_changed),
            "keys": lambda: keep_wrapped(keys, backbone.worker),
        },
        ready=backbone.ready | {"keys": keys_open},
        draining=draining,
        on_denied=backbone.note_denial,
        close=[channel.close, notifications.close, *backbone.close],
    )


async def keep_names(names: Names, directory: DirectoryClient, wanted: Signal) -> None:
    """Hold the names of the people of threads, for ever."""

    async def fetch(
        clinic_id: UUID, staff: Sequence[UUID], profiles: Sequence[UUID]
    ) -> tuple[Mapping[UUID, Name], Mapping[UUID, Name]]:
        found = await directory.get_details(clinic_id, staff=staff, profiles=profiles)
        return _names(found.staff), _names(found.profiles)

    while True:
        while await refresh_names(names, fetch):
            pass
        await wanted.wait(_POLL_SECONDS)
        await asyncio.sleep(_CROWD_SECONDS)


async def keep_archival(archival: Archival, changed: Signal) -> None:
    """Draw the consequences of the directory's states, for ever; resumes where a crash left it."""
    while True:
        while await derive_archival(archival):
            pass
        await changed.wait(_POLL_SECONDS)
        await asyncio.sleep(_CROWD_SECONDS)


async def keep_wrapped(keys: DataKeys, worker: Database) -> None:
    """Wrap with the current master key what another one wrapped, at the start and each hour."""
    while True:
        if count := await keys.rewrap(worker):
            log.info("data_keys_rewrapped", count=count)
        await asyncio.sleep(_REWRAP_SECONDS)


async def end_watches(tail: Tail, draining: asyncio.Event) -> None:
    """When the process begins to stop, tell every watch to reconnect elsewhere."""
    await draining.wait()
    tail.stop()
    await asyncio.Event().wait()


def _names(details: Mapping[UUID, Details]) -> Mapping[UUID, Name]:
    return {id: Name(found.display_name, found.version) for id, found in details.items()}


def send_limits(settings: Settings) -> SendLimits:
    return SendLimits(
        actor=TokenBucket(
            rate=settings.send_rate_actor, burst=settings.send_burst_actor, clock=system_clock
        ),
        clinic=TokenBucket(
            rate=settings.send_rate_clinic, burst=2 * settings.send_rate_clinic, clock=system_clock
        ),
    )
