"""OperationsService of a service that does nothing else, on real servers and through a channel."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import grpc

from clinic.operations.v1 import operations_service_pb2 as pb
from clinic.operations.v1.operations_service_pb2_grpc import (
    OperationsServiceStub,
    add_OperationsServiceServicer_to_server,
)
from services.chassis.backbone import Backbone
from services.chassis.operations import OperationsServicer
from services.chassis.paging import PageTokens
from services.chassis.server import registration
from services.chassis.settings import ChassisSettings, Secret
from tests.support.grpc_world import ISSUER, Keys, World, bearer, serving
from tests.support.nats import NatsServer
from tests.support.postgres import ServiceDatabase

SERVICE = "conversations"


def settings(
    databases: ServiceDatabase, broker: NatsServer, keys: Keys, signing_key: Path
) -> ChassisSettings:
    return ChassisSettings(
        database_url=Secret(databases.app),
        worker_database_url=Secret(databases.worker),
        nats_url=Secret(broker.url(SERVICE)),
        listen="127.0.0.1:0",
        internal_listen="127.0.0.1:0",
        http_listen="127.0.0.1:0",
        token_issuer=ISSUER,
        issuer_jwks=keys.issuer_jwks,
        callers_jwks=keys.callers_jwks,
        signing_key=signing_key,
        sealing_key=Secret(""),
    )


def write_signing_key(keys: Keys, folder: Path, name: str) -> Path:
    """The private key of a machine, in a file of its own."""
    path = folder / "signing.jwk"
    path.write_text(json.dumps(keys.machines[name].as_dict(private=True)))
    return path


@asynccontextmanager
async def serving_operations(backbone: Backbone, keys: Keys) -> AsyncIterator[World]:
    servicer = OperationsServicer(backbone, PageTokens(bytes(32)))
    added = registration(add_OperationsServiceServicer_to_server, servicer)
    async with serving(keys, [added]) as world:
        yield world


class Operations:
    """What ops types, with a token of theirs: `await ops("GetStatus")`."""

    def __init__(self, channel: grpc.aio.Channel, keys: Keys) -> None:
        self._stub = OperationsServiceStub(channel)
        self._keys = keys

    async def __call__(
        self, method: str, *, by: str = "ops:support", clinic: UUID | None = None, **fields: Any
    ) -> Any:
        request = getattr(pb, f"{method}Request")(**fields)
        more = {} if clinic is None else {"clinic_id": str(clinic)}
        metadata = bearer(self._keys.machine(by), **more)
        return await getattr(self._stub, method)(request, metadata=metadata)
