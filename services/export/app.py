"""Composition root: the only module that knows every concrete class of this service."""

import os

from clinic.export.v1.export_service_pb2_grpc import add_ExportServiceServicer_to_server
from clinic.operations.v1.operations_service_pb2_grpc import (
    add_OperationsServiceServicer_to_server,
)
from services.chassis.backbone import Backbone
from services.chassis.client import Peer, open_channel
from services.chassis.events_client import EventsClient
from services.chassis.lifecycle import Service
from services.chassis.operations import OperationsServicer
from services.chassis.paging import PageTokens
from services.chassis.server import registration
from services.chassis.settings import load
from services.directory_replica.directory import DirectoryClient
from services.directory_replica.feed import feed_replica
from services.directory_replica.replica import Replica
from services.export.api.servicer import ExportServicer
from services.export.settings import PREFIX, Settings
from services.export.storage.unit_of_work import Storage

NAME = "export"


async def compose() -> Service:
    """The service as the environment describes it; nothing is connected yet."""
    settings = load(Settings, f"{PREFIX}_", os.environ)
    chassis = settings.chassis
    backbone = Backbone(NAME, chassis)
    directory_channel = open_channel(settings.directory_target, tls=chassis.tls)
    directory_peer = Peer("directory", signer=backbone.signer)
    directory = DirectoryClient(directory_channel, directory_peer)
    replica = Replica(backbone.app, directory, applied=lambda: None)
    events = EventsClient(directory_channel, directory_peer, source="directory")
    feed_replica(backbone, replica, directory, events)
    storage = Storage(
        backbone.app,
        replica,
        sealing_key=chassis.sealing_bytes,
        committed=backbone.committed,
    )
    page_tokens = PageTokens(chassis.sealing_bytes)
    return Service(
        name=NAME,
        settings=chassis,
        verifier=backbone.verifier(),
        public=[
            registration(add_ExportServiceServicer_to_server, ExportServicer(storage, page_tokens))
        ],
        internal=[
            registration(
                add_OperationsServiceServicer_to_server, OperationsServicer(backbone, page_tokens)
            )
        ],
        tasks=backbone.tasks,
        ready=backbone.ready,
        close=[directory_channel.close, *backbone.close],
        on_denied=storage.note_denial,
    )
