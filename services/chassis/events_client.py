"""Reading another service's outbox, for the sweep."""

from collections.abc import Sequence
from datetime import timedelta

import grpc

from clinic.operations.v1 import operations_service_pb2 as pb
from clinic.operations.v1.operations_service_pb2_grpc import OperationsServiceStub
from services.chassis.client import Peer
from services.chassis.outbox import Event
from services.chassis.wire import to_event

_WITHIN = timedelta(seconds=5)


class EventsClient:
    """The events of one other service, by position."""

    def __init__(self, channel: grpc.aio.Channel, peer: Peer, *, source: str) -> None:
        self._stub = OperationsServiceStub(channel)
        self._peer = peer
        self._source = source

    async def list_events(self, incarnation: str, after: int, most: int) -> Sequence[Event]:
        """Events after a position, in order; from the oldest held where `incarnation` is empty.

        Raises OutOfRange where the position is gone, Unavailable where the service is.
        """
        request = pb.ListEventsRequest(
            incarnation=incarnation, after_position=after, page_size=most
        )
        response = await self._peer.call(self._stub.ListEvents, request, within=_WITHIN)
        return [to_event(event, self._source) for event in response.events]
