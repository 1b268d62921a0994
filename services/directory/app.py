"""Composition root: the only module that knows every concrete class of this service."""

import os

import grpc

from clinic.directory.v1.directory_internal_service_pb2_grpc import (
    add_DirectoryInternalServiceServicer_to_server,
)
from clinic.directory.v1.directory_service_pb2_grpc import add_DirectoryServiceServicer_to_server
from clinic.operations.v1.operations_service_pb2_grpc import (
    add_OperationsServiceServicer_to_server,
)
from services.chassis.backbone import Backbone
from services.chassis.client import Peer, Signer, open_channel
from services.chassis.clock import system_clock
from services.chassis.lifecycle import Service
from services.chassis.operations import OperationsServicer
from services.chassis.paging import PageTokens
from services.chassis.server import registration
from services.chassis.settings import load
from services.directory.api.internal_servicer import DirectoryInternalServicer
from services.directory.api.servicer import DirectoryServicer
from services.directory.clients.conversations import ConversationsClient
from services.directory.clients.notifications import NotificationsClient
from services.directory.domain.session import SessionLimits
from services.directory.settings import PREFIX, Settings
from services.directory.storage.events import to_message
from services.directory.storage.unit_of_work import Storage
from services.directory.usecases.confirm import Peers
from services.directory.usecases.expire_sessions import expire_for_ever

NAME = "directory"


async def compose() -> Service:
    """The service as the environment describes it; nothing is connected yet."""
    settings = load(Settings, f"{PREFIX}_", os.environ)
    chassis = settings.chassis
    backbone = Backbone(NAME, chassis)
    storage = Storage(backbone.app, backbone.worker)
    channels = [
        open_channel(target, tls=chassis.tls)
        for target in (settings.conversations_target, settings.notifications_target)
    ]
    peers = peers_behind(*channels, signer=backbone.signer)
    page_tokens = PageTokens(chassis.sealing_bytes)
    limits = SessionLimits(idle=settings.session_idle, lifetime=settings.session_lifetime)
    return Service(
        name=NAME,
        settings=chassis,
        verifier=backbone.verifier(),
        public=[
            registration(
                add_DirectoryServiceServicer_to_server,
                DirectoryServicer(storage, peers, page_tokens),
            )
        ],
        internal=[
            registration(
                add_DirectoryInternalServiceServicer_to_server,
                DirectoryInternalServicer(storage, peers, page_tokens),
            ),
            registration(
                add_OperationsServiceServicer_to_server, OperationsServicer(backbone, page_tokens)
            ),
        ],
        tasks=backbone.tasks
        | {"sessions": lambda: expire_for_ever(storage, peers, limits=limits, clock=system_clock)},
        ready=backbone.ready,
        close=[*(channel.close for channel in channels), *backbone.close],
        on_denied=backbone.note_denial,
    )


def peers_behind(
    conversations: grpc.aio.Channel, notifications: grpc.aio.Channel, *, signer: Signer
) -> Peers:
    """The services that are told what now holds."""
    return Peers(
        conversations=ConversationsClient(
            conversations, Peer("conversations", signer=signer), encode=to_message
        ),
        notifications=NotificationsClient(
            notifications, Peer("notifications", signer=signer), encode=to_message
        ),
    )
