"""Composition root: the only module that knows every concrete class of this service."""

import asyncio
import os
from collections.abc import Sequence

import grpc

from clinic.export.v1.export_internal_service_pb2_grpc import (
    add_ExportInternalServiceServicer_to_server,
)
from clinic.export.v1.export_service_pb2_grpc import add_ExportServiceServicer_to_server
from clinic.operations.v1.operations_service_pb2_grpc import (
    add_OperationsServiceServicer_to_server,
)
from services.chassis.backbone import Backbone
from services.chassis.client import Peer, open_channel
from services.chassis.events_client import EventsClient
from services.chassis.lifecycle import Service
from services.chassis.operations import OperationsServicer
from services.chassis.outbox import Signal
from services.chassis.paging import PageTokens
from services.chassis.server import Registration, registration
from services.chassis.settings import load
from services.directory_replica.directory import DirectoryClient
from services.directory_replica.feed import feed_replica
from services.directory_replica.replica import Replica
from services.export.api.internal_servicer import ExportInternalServicer
from services.export.api.servicer import ExportServicer
from services.export.clients.conversations import Conversations
from services.export.clients.directory import Directory
from services.export.formats.shelf import Shelf
from services.export.formats.signing import manifest_signer
from services.export.settings import PREFIX, Settings
from services.export.storage.jobs import Jobs
from services.export.storage.unit_of_work import Storage
from services.export.usecases.build_export import Workshop, build_next
from services.export.usecases.tidy_up import tidy_up

NAME = "export"
_BUILD_SECONDS = 1.0
_TIDY_SECONDS = 60.0


async def compose() -> Service:
    """The service as the environment describes it; nothing is connected yet."""
    settings = load(Settings, f"{PREFIX}_", os.environ)
    chassis = settings.chassis
    backbone = Backbone(NAME, chassis)
    to_directory = open_channel(settings.directory_target, tls=chassis.tls)
    to_conversations = open_channel(settings.conversations_target, tls=chassis.tls)
    directory, replica = _directory(backbone, to_directory)
    wanted = Signal()

    storage = Storage(
        backbone.app, replica, sealing_key=chassis.sealing_bytes, committed=wanted.set
    )
    workshop = Workshop(
        jobs=Jobs(backbone.app, backbone.worker),
        conversations=Conversations(
            to_conversations, Peer("conversations", signer=backbone.signer)
        ),
        directory=directory,
        shelf=Shelf(settings.directory),
        signer=manifest_signer(chassis.signing_key),
    )
    public, internal = _doors(settings, storage, workshop, backbone)
    building = {
        "builds": lambda: keep_building(workshop, wanted),
        "tidying": lambda: keep_tidy(workshop),
    }
    return Service(
        name=NAME,
        settings=chassis,
        verifier=backbone.verifier(),
        public=public,
        internal=internal,
        tasks=backbone.tasks | building,
        ready=backbone.ready,
        close=[to_directory.close, to_conversations.close, *backbone.close],
        on_denied=backbone.note_denial,
    )


def _directory(backbone: Backbone, channel: grpc.aio.Channel) -> tuple[Directory, Replica]:
    """What is asked of the directory, and the replica that it feeds."""
    peer = Peer("directory", signer=backbone.signer)
    client = DirectoryClient(channel, peer)
    replica = Replica(backbone.app, client, applied=lambda: None)
    feed_replica(backbone, replica, client, EventsClient(channel, peer, source="directory"))
    return Directory(client), replica


def _doors(
    settings: Settings, storage: Storage, workshop: Workshop, backbone: Backbone
) -> tuple[Sequence[Registration], Sequence[Registration]]:
    """The public and the internal services."""
    tokens = PageTokens(settings.chassis.sealing_bytes)
    owners = ExportServicer(storage, tokens)
    ops = ExportInternalServicer(
        storage, workshop.directory, workshop.shelf, tokens, cutoff=settings.cutoff
    )
    operations = OperationsServicer(backbone, tokens)
    return [registration(add_ExportServiceServicer_to_server, owners)], [
        registration(add_ExportInternalServiceServicer_to_server, ops),
        registration(add_OperationsServiceServicer_to_server, operations),
    ]


async def keep_building(workshop: Workshop, wanted: Signal) -> None:
    """Build what is due, one export after another, for ever."""
    while True:
        while await build_next(workshop):
            pass
        await wanted.wait(_BUILD_SECONDS)


async def keep_tidy(workshop: Workshop) -> None:
    """Once a minute, for ever."""
    while True:
        await tidy_up(workshop.jobs, workshop.shelf)
        await asyncio.sleep(_TIDY_SECONDS)
