"""Devices that get pushes for a patient or contact."""

from argparse import Namespace

from clinic.notifications.v1 import device_pb2
from clinic.notifications.v1 import notifications_service_pb2 as pb
from services.chassis.ids import uuid7
from services.cli.output import Row, Told, as_data, lines, table, when, word
from services.cli.parsing import Commands, add_person, command
from services.cli.session import Session


def add(commands: Commands) -> None:
    parser = command(
        commands,
        "devices",
        devices,
        help="list the devices that get pushes for somebody, latest registration first",
        examples=["clinic devices --as patient"],
    )
    add_person(parser)
    parser = command(
        commands,
        "unregister",
        unregister,
        help="forget a device: it gets no more pushes until its app registers it again",
        examples=["clinic devices --as patient", "clinic unregister 0199d1a0-… --as patient"],
    )
    parser.add_argument("device_id", metavar="DEVICE")
    add_person(parser)


async def devices(session: Session, arguments: Namespace) -> Told:
    stubs = session.suite.notifications
    async with session.caller(arguments) as caller:
        answer = await caller.call(stubs.ListDevices, pb.ListDevicesRequest())
    rows = [_row(each) for each in answer.devices]
    shown = table(("device", "push service", "registered"), rows, empty="No devices.")
    return Told([as_data(each) for each in answer.devices], shown)


async def unregister(session: Session, arguments: Namespace) -> Told:
    request = pb.UnregisterDeviceRequest(device_id=arguments.device_id, request_id=str(uuid7()))
    async with session.caller(arguments) as caller:
        await caller.call(session.suite.notifications.UnregisterDevice, request)
    said = f"Device {arguments.device_id} is forgotten and gets no more pushes."
    return Told({"device_id": arguments.device_id}, lines(said))


def _row(device: device_pb2.Device) -> Row:
    service = word(device_pb2.Platform.Name(device.platform), "PLATFORM_")
    return device.device_id, service, when(device.register_time)
