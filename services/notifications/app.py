"""Composition root: the only module that knows every concrete class of this service."""

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import grpc

from clinic.notifications.v1.notifications_internal_service_pb2_grpc import (
    add_NotificationsInternalServiceServicer_to_server,
)
from clinic.notifications.v1.notifications_service_pb2_grpc import (
    add_NotificationsServiceServicer_to_server,
)
from clinic.operations.v1.operations_service_pb2_grpc import (
    add_OperationsServiceServicer_to_server,
)
from services.chassis.backbone import Backbone
from services.chassis.client import Peer, open_channel
from services.chassis.clock import system_clock
from services.chassis.events_client import EventsClient
from services.chassis.http import HttpServer
from services.chassis.inbox import Intake
from services.chassis.lifecycle import Door, Service, Task
from services.chassis.operations import OperationsServicer
from services.chassis.outbox import Signal
from services.chassis.paging import PageTokens
from services.chassis.server import Registration, registration
from services.chassis.settings import Tls, load
from services.chassis.sweep import start_at_oldest
from services.directory_replica.directory import DirectoryClient
from services.directory_replica.feed import apply_messages, feed_replica
from services.directory_replica.replica import Replica
from services.notifications.api.bounces import BounceDoor
from services.notifications.api.internal_servicer import NotificationsInternalServicer
from services.notifications.api.servicer import NotificationsServicer
from services.notifications.api.unsubscribe import UnsubscribeDoor
from services.notifications.channels.pace import Pace
from services.notifications.channels.prints import AddressPrints
from services.notifications.channels.push import Provider, PushChannel
from services.notifications.channels.push_credentials import read_apple_key
from services.notifications.channels.push_providers import apple_provider, google_provider
from services.notifications.channels.push_tokens import PushTokens
from services.notifications.channels.rendering import Composer
from services.notifications.channels.return_paths import ReturnPaths
from services.notifications.channels.smtp import SmtpChannel, SmtpServer, SmtpTls
from services.notifications.channels.unsubscribe import UnsubscribeTokens
from services.notifications.clients.conversations import Conversations
from services.notifications.clients.directory import Directory
from services.notifications.consumers.conversations_events import handler
from services.notifications.consumers.directory_changes import draw_consequences
from services.notifications.consumers.due_clears import DueClears
from services.notifications.consumers.due_dispatches import AT_ONCE, DueDispatches
from services.notifications.consumers.lag import measure_lag
from services.notifications.consumers.lost_devices import sweep_for_ever
from services.notifications.consumers.old_deliveries import forget_for_ever
from services.notifications.domain.delivery import Channel
from services.notifications.domain.device import Platform
from services.notifications.settings import PREFIX, Settings
from services.notifications.storage.clears import WaitingClears
from services.notifications.storage.dispatches import Dispatches
from services.notifications.storage.due import Due
from services.notifications.storage.forgetting import Forgetting
from services.notifications.storage.lag import Lag
from services.notifications.storage.lost_devices import LostDevices
from services.notifications.storage.unit_of_work import CONSUMER, Storage
from services.notifications.usecases.clear_pushes import ClearWorks, clear_pushes
from services.notifications.usecases.dispatch_mail import MailWorks, dispatch_mail
from services.notifications.usecases.dispatch_push import PushWorks, dispatch_push
from services.notifications.usecases.register_device import register_device
from services.notifications.usecases.rounds import rounds_of
from services.notifications.usecases.send_code import CodeWorks
from services.notifications.usecases.take_feedback import take_bounce

NAME = "notifications"
# Mails wait in line for their turn with a claim in hand: much less than its lease.
_LINE_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Reached:
    """Another service, as this one reaches it."""

    channel: grpc.aio.Channel
    peer: Peer
    events: EventsClient


async def compose() -> Service:
    """The service as the environment describes it; nothing is connected yet."""
    settings = load(Settings, f"{PREFIX}_", os.environ)
    chassis = settings.chassis
    backbone = Backbone(NAME, chassis)
    directory = reach(backbone, "directory", settings.directory_target, tls=chassis.tls)
    conversations = reach(backbone, "conversations", settings.conversations_target, tls=chassis.tls)
    applied, due = Signal(), {channel: Signal() for channel in Channel}
    details = DirectoryClient(directory.channel, directory.peer)
    replica = Replica(backbone.app, details, applied=applied.set)
    feed_replica(backbone, replica, details, directory.events)
    storage = Storage(backbone.app, replica, fell_due=partial(wake, due))
    consume_conversations(backbone, storage, conversations.events, kept=settings.ledger_kept)
    people = Directory(directory.channel, directory.peer, details)
    mail = mail_works(settings, storage=storage, directory=people)
    push = push_works(settings, storage=storage, conversations=conversations)
    forgetting = Forgetting(backbone.worker, age=settings.ledger_kept)
    page_tokens = PageTokens(chassis.sealing_bytes)
    return Service(
        name=NAME,
        settings=chassis,
        verifier=backbone.verifier(),
        public=public_services(settings, storage, page_tokens, push.channel),
        internal=internal_services(backbone, storage, page_tokens, replica, mail),
        tasks=backbone.tasks
        | mail_tasks(settings, backbone, storage, mail, applied=applied, due=due)
        | push_tasks(backbone, storage, push, due=due)
        | {"old deliveries": partial(forget_for_ever, forgetting)},
        ready=backbone.ready,
        on_denied=backbone.note_denial,
        close=[
            mail.channel.close,
            push.channel.close,
            directory.channel.close,
            conversations.channel.close,
            *backbone.close,
        ],
        doors=unsubscribe_doors(settings, people) + bounce_doors(settings, backbone, storage),
    )


def reach(backbone: Backbone, name: str, target: str, *, tls: Tls | None) -> Reached:
    channel, peer = open_channel(target, tls=tls), Peer(name, signer=backbone.signer)
    return Reached(channel, peer, EventsClient(channel, peer, source=name))


def wake(due: Mapping[Channel, Signal], channels: Collection[Channel]) -> None:
    """Something is to be sent now on each of these channels."""
    for channel in channels:
        due[channel].set()


def unsubscribe_doors(settings: Settings, directory: Directory) -> list[Door]:
    """What the world reaches, on a listener of its own."""
    if settings.unsubscribe_listen is None:
        return []
    routes = UnsubscribeDoor(unsubscribe_tokens(settings), directory).routes()
    return [HttpServer(settings.unsubscribe_listen, routes)]


def unsubscribe_tokens(settings: Settings) -> UnsubscribeTokens:
    return UnsubscribeTokens(settings.chassis.sealing_bytes)


def bounce_doors(settings: Settings, backbone: Backbone, storage: Storage) -> list[Door]:
    paths = return_paths(settings)
    if settings.bounce_listen is None or paths is None:
        return []
    door = BounceDoor(
        settings.bounce_listen,
        return_paths=paths,
        clinic_of=Dispatches(backbone.worker).clinic_of,
        take=partial(storage.act, take_bounce),
    )
    return [door]


def return_paths(settings: Settings) -> ReturnPaths | None:
    if settings.bounce_domain is None:
        return None
    return ReturnPaths(settings.chassis.sealing_bytes, domain=settings.bounce_domain)


def public_services(
    settings: Settings, storage: Storage, page_tokens: PageTokens, channel: PushChannel
) -> list[Registration]:
    register = partial(register_device, tokens=push_tokens(settings), channel=channel)
    servicer = NotificationsServicer(storage, page_tokens, register=register)
    return [registration(add_NotificationsServiceServicer_to_server, servicer)]


def internal_services(
    backbone: Backbone,
    storage: Storage,
    page_tokens: PageTokens,
    replica: Replica,
    mail: MailWorks,
) -> list[Registration]:
    servicer = NotificationsInternalServicer(
        storage,
        page_tokens,
        apply=partial(apply_messages, replica),
        code_works=code_works(storage, mail),
    )
    operations = OperationsServicer(backbone, page_tokens)
    return [
        registration(add_NotificationsInternalServiceServicer_to_server, servicer),
        registration(add_OperationsServiceServicer_to_server, operations),
    ]


def consume_conversations(
    backbone: Backbone, storage: Storage, events: EventsClient, *, kept: timedelta
) -> None:
    """Take in the facts of conversations, from the bus and from its outbox."""
    intake = Intake(
        consumer=CONSUMER,
        app=backbone.app,
        worker=backbone.worker,
        handle=handler(storage, kept=kept),
    )
    backbone.consume(
        intake,
        source="conversations",
        list_events=events.list_events,
        start_again=start_at_oldest,
    )


def mail_works(settings: Settings, *, storage: Storage, directory: Directory) -> MailWorks:
    sender = settings.sender_address
    servers = [
        SmtpServer(
            host=host,
            port=port,
            sender=sender,
            username=settings.smtp_username,
            password=settings.smtp_password,
            tls=SmtpTls(settings.smtp_tls),
            mails_a_second=settings.smtp_mails_a_second,
        )
        for host, port in settings.smtp_addresses
    ]
    return MailWorks(
        rounds=rounds_of(storage),
        directory=directory,
        channel=SmtpChannel(*servers),
        composer=Composer(
            sender=sender,
            tokens=unsubscribe_tokens(settings),
            public_url=settings.public_url,
            clock=system_clock,
        ),
        prints=AddressPrints(settings.chassis.sealing_bytes),
        return_paths=return_paths(settings),
    )


def code_works(storage: Storage, works: MailWorks) -> CodeWorks:
    return CodeWorks(
        storage=storage,
        directory=works.directory,
        channel=works.channel,
        composer=works.composer,
        prints=works.prints,
    )


def mail_tasks(
    settings: Settings,
    backbone: Backbone,
    storage: Storage,
    works: MailWorks,
    *,
    applied: Signal,
    due: Mapping[Channel, Signal],
) -> dict[str, Task]:
    """What this service does of its own accord, for ever."""
    waiting = Due(backbone.worker)
    due_mail = DueDispatches(
        waiting,
        Channel.EMAIL,
        partial(dispatch_mail, works=works),
        wake=due[Channel.EMAIL],
        at_once=min(AT_ONCE, settings.smtp_mails_a_second * _LINE_SECONDS),
    )
    return {
        "due mail": due_mail.run,
        "lag": lambda: measure_lag(Lag(backbone.worker)),
        "consequences": lambda: draw_consequences(waiting, storage, applied=applied),
    }


def push_works(settings: Settings, *, storage: Storage, conversations: Reached) -> PushWorks:
    return PushWorks(
        rounds=rounds_of(storage),
        get_badge=Conversations(conversations.channel, conversations.peer).get_badge,
        channel=push_channel(settings),
    )


def push_tokens(settings: Settings) -> PushTokens:
    return PushTokens(settings.chassis.sealing_bytes)


def push_channel(settings: Settings) -> PushChannel:
    """A platform without credentials has no provider."""
    push, providers = settings.push, dict[Platform, Provider]()
    if push.fcm_credentials is not None:
        development = settings.chassis.development
        providers[Platform.FCM] = google_provider(
            push.fcm_credentials, url=push.fcm_url, development=development
        )
    if push.apns_key and push.apns_key_id and push.apns_team_id and push.apns_topic:
        key = read_apple_key(
            push.apns_key, key_id=push.apns_key_id, team_id=push.apns_team_id, topic=push.apns_topic
        )
        providers[Platform.APNS] = apple_provider(key, url=push.apns_url)
    paces = {
        Platform.FCM: Pace(push.fcm_pushes_a_second),
        Platform.APNS: Pace(push.apns_pushes_a_second),
    }
    return PushChannel(push_tokens(settings), providers, paces=paces)


def push_tasks(
    backbone: Backbone, storage: Storage, works: PushWorks, *, due: Mapping[Channel, Signal]
) -> dict[str, Task]:
    due_pushes = DueDispatches(
        Due(backbone.worker),
        Channel.PUSH,
        partial(dispatch_push, works=works),
        wake=due[Channel.PUSH],
    )
    clearing = ClearWorks(storage=storage, get_badge=works.get_badge, channel=works.channel)
    due_clears = DueClears(WaitingClears(backbone.worker), partial(clear_pushes, works=clearing))
    lost = LostDevices(backbone.worker)
    return {
        "due pushes": due_pushes.run,
        "due clears": due_clears.run,
        "lost devices": lambda: sweep_for_ever(lost),
    }
