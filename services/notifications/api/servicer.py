"""What people call: convert, call, convert."""

from collections.abc import Awaitable, Callable

import grpc
from google.protobuf.message import Message

from clinic.notifications.v1 import notifications_service_pb2 as pb
from clinic.notifications.v1.notifications_service_pb2_grpc import NotificationsServiceServicer
from services.chassis.identity import current_caller
from services.chassis.paging import PageTokens
from services.notifications.api import convert
from services.notifications.domain.device import Device
from services.notifications.storage.unit_of_work import Storage, Transaction
from services.notifications.usecases.list_devices import list_devices
from services.notifications.usecases.register_device import RegisterDevice
from services.notifications.usecases.unregister_device import unregister_device

Register = Callable[[Transaction, RegisterDevice], Awaitable[Device]]
Context = grpc.aio.ServicerContext[Message, Message]


class NotificationsServicer(NotificationsServiceServicer):
    """`clinic.notifications.v1.NotificationsService`."""

    def __init__(self, storage: Storage, page_tokens: PageTokens, *, register: Register) -> None:
        self._storage = storage
        self._tokens = page_tokens
        self._register = register

    async def RegisterDevice(
        self, request: pb.RegisterDeviceRequest, context: Context
    ) -> pb.RegisterDeviceResponse:
        command = convert.to_register_device(request, current_caller())
        device = await self._storage.run(self._register, command)
        return pb.RegisterDeviceResponse(device=convert.from_device(device))

    async def UnregisterDevice(
        self, request: pb.UnregisterDeviceRequest, context: Context
    ) -> pb.UnregisterDeviceResponse:
        command = convert.to_unregister_device(request, current_caller())
        await self._storage.run(unregister_device, command)
        return pb.UnregisterDeviceResponse()

    async def ListDevices(
        self, request: pb.ListDevicesRequest, context: Context
    ) -> pb.ListDevicesResponse:
        query = convert.DEVICES_QUERY
        cursor = self._tokens.open(request.page_token, query)
        command = convert.to_list_devices(request, current_caller(), cursor)
        page = await self._storage.run(list_devices, command)
        token = self._tokens.seal(query, convert.to_cursor(page.next)) if page.next else ""
        return pb.ListDevicesResponse(
            devices=map(convert.from_device, page.devices), next_page_token=token
        )
