"""Servers that answer as a test tells them, for what is a client of the suite."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
from google.protobuf.message import Message

from clinic.conversations.v1.conversations_service_pb2_grpc import (
    ConversationsServiceServicer,
    add_ConversationsServiceServicer_to_server,
)
from services.chassis.errors import DomainError
from services.chassis.interceptors.status import code_of, status_of, trailer_of
from services.cli.places import find
from services.cli.suite import Suite

# For servers that serve a few of the methods; generated types want all of them.
PartialServicer: Any = ConversationsServiceServicer
Context = grpc.aio.ServicerContext[Message, Message]


async def refuse(context: Context, error: DomainError) -> None:
    """End the call as a service of ours does."""
    status = status_of(error, "conversations")
    await context.abort(code_of(status), status.message, (trailer_of(status),))


@asynccontextmanager
async def suite_with(conversations: Any) -> AsyncIterator[Suite]:
    """A suite of one service, which this servicer serves."""
    server = grpc.aio.server()
    add_ConversationsServiceServicer_to_server(conversations, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    target = f"127.0.0.1:{port}"
    suite = Suite(find({"LOCAL_STATE": "nowhere", "CLINIC_CONVERSATIONS_TARGET": target}))
    try:
        yield suite
    finally:
        await suite.close()
        await server.stop(None)
