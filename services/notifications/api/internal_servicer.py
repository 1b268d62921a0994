"""What the other services and ops call."""

from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

import grpc
from google.protobuf.message import Message

from clinic.directory.v1.directory_events_pb2 import State
from clinic.notifications.v1 import notifications_internal_service_pb2 as pb
from clinic.notifications.v1.notifications_internal_service_pb2_grpc import (
    NotificationsInternalServiceServicer,
)
from services.chassis.identity import current_caller
from services.chassis.ids import parse_id
from services.chassis.paging import PageTokens
from services.notifications.api import convert
from services.notifications.storage.unit_of_work import Storage
from services.notifications.usecases.get_delivery import GetDelivery, get_delivery
from services.notifications.usecases.lift_suppression import lift_suppression
from services.notifications.usecases.list_deliveries import list_deliveries
from services.notifications.usecases.list_suppressions import list_suppressions
from services.notifications.usecases.retry_delivery import retry_delivery
from services.notifications.usecases.send_code import CodeWorks, send_code
from services.notifications.usecases.take_feedback import record_provider_feedback

Context = grpc.aio.ServicerContext[Message, Message]
Apply = Callable[[UUID, Sequence[State]], Awaitable[None]]


class NotificationsInternalServicer(NotificationsInternalServiceServicer):
    """`clinic.notifications.v1.NotificationsInternalService`."""

    def __init__(
        self, storage: Storage, page_tokens: PageTokens, *, apply: Apply, code_works: CodeWorks
    ) -> None:
        self._storage = storage
        self._code_works = code_works
        self._tokens = page_tokens
        self._apply = apply

    async def ApplyStates(
        self, request: pb.ApplyStatesRequest, context: Context
    ) -> pb.ApplyStatesResponse:
        await self._apply(current_caller().clinic, request.states)
        return pb.ApplyStatesResponse(applied=True)

    async def ListDeliveries(
        self, request: pb.ListDeliveriesRequest, context: Context
    ) -> pb.ListDeliveriesResponse:
        query = convert.deliveries_query(request)
        cursor = self._tokens.open(request.page_token, query)
        command = convert.to_list_deliveries(request, current_caller(), cursor)
        page = await self._storage.run(list_deliveries, command)
        token = self._tokens.seal(query, convert.to_cursor(page.next)) if page.next else ""
        return pb.ListDeliveriesResponse(
            deliveries=map(convert.from_delivery, page.deliveries), next_page_token=token
        )

    async def GetDelivery(
        self, request: pb.GetDeliveryRequest, context: Context
    ) -> pb.GetDeliveryResponse:
        command = GetDelivery(
            caller=current_caller(),
            delivery_id=parse_id(request.delivery_id, field="delivery_id"),
        )
        delivery = await self._storage.run(get_delivery, command)
        return pb.GetDeliveryResponse(delivery=convert.from_delivery(delivery))

    async def RetryDelivery(
        self, request: pb.RetryDeliveryRequest, context: Context
    ) -> pb.RetryDeliveryResponse:
        command = convert.to_retry_delivery(request, current_caller())
        delivery = await self._storage.run(retry_delivery, command)
        return pb.RetryDeliveryResponse(delivery=convert.from_delivery(delivery))

    async def ListSuppressions(
        self, request: pb.ListSuppressionsRequest, context: Context
    ) -> pb.ListSuppressionsResponse:
        query = convert.suppressions_query(request)
        cursor = self._tokens.open(request.page_token, query)
        command = convert.to_list_suppressions(request, current_caller(), cursor)
        page = await self._storage.run(list_suppressions, command)
        token = self._tokens.seal(query, convert.to_cursor(page.next)) if page.next else ""
        return pb.ListSuppressionsResponse(
            suppressions=map(convert.from_suppression, page.suppressions), next_page_token=token
        )

    async def LiftSuppression(
        self, request: pb.LiftSuppressionRequest, context: Context
    ) -> pb.LiftSuppressionResponse:
        command = convert.to_lift_suppression(request, current_caller())
        suppression = await self._storage.run(lift_suppression, command)
        return pb.LiftSuppressionResponse(suppression=convert.from_suppression(suppression))

    async def RecordProviderFeedback(
        self, request: pb.RecordProviderFeedbackRequest, context: Context
    ) -> pb.RecordProviderFeedbackResponse:
        command = convert.to_record_provider_feedback(request, current_caller())
        deliveries = await self._storage.run(record_provider_feedback, command)
        return pb.RecordProviderFeedbackResponse(deliveries=map(convert.from_delivery, deliveries))

    async def SendCode(self, request: pb.SendCodeRequest, context: Context) -> pb.SendCodeResponse:
        command = convert.to_send_code(request, current_caller())
        await send_code(command, works=self._code_works)
        return pb.SendCodeResponse()
