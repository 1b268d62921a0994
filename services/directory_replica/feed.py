"""The roads by which states come: the call, the bus, the sweep, and the whole set anew."""

from collections.abc import Sequence
from uuid import UUID

from clinic.directory.v1.directory_events_pb2 import State as StateMessage
from services.chassis.backbone import Backbone
from services.chassis.errors import InvalidArgument, OutOfRange
from services.chassis.events_client import EventsClient
from services.chassis.inbox import Intake
from services.chassis.logs import get_logger
from services.chassis.outbox import Event
from services.chassis.wire import UNREADABLE
from services.directory_replica.convert import state_of_event, state_of_message
from services.directory_replica.directory import DirectoryClient
from services.directory_replica.replica import Replica
from services.directory_replica.states import State

_PAGE = 500
_MOST_STATES = 200
_NONE = "none"

log = get_logger()


def feed_replica(
    backbone: Backbone, replica: Replica, directory: DirectoryClient, events: EventsClient
) -> None:
    """Add the consumer that keeps a replica to a service's process."""

    async def list_events(incarnation: str, after: int, most: int) -> Sequence[Event]:
        # An empty replica names no incarnation; it is to be filled, not read up from old events.
        return await events.list_events(incarnation or _NONE, after, most)

    async def start_again(gone: OutOfRange) -> tuple[str, int]:
        await fill(replica, directory)
        # The end as it was before: what changed while the states streamed in lies behind it.
        return gone.metadata["incarnation"], int(gone.metadata["last_position"])

    async def handle(events: Sequence[Event]) -> None:
        await replica.apply([state for event in events if (state := state_of_event(event))])

    intake = Intake(
        consumer=f"{backbone.name}-directory",
        app=backbone.app,
        worker=backbone.worker,
        handle=handle,
    )
    backbone.consume(intake, source="directory", list_events=list_events, start_again=start_again)


async def apply_messages(
    replica: Replica, clinic_id: UUID, messages: Sequence[StateMessage]
) -> None:
    """Apply what the directory sends along with a call for one clinic (I38).

    Raises InvalidArgument, with nothing applied, where there are too many, one of them is of
    another clinic, or one cannot be read.
    """
    if len(messages) > _MOST_STATES:
        raise InvalidArgument(f"states holds at most {_MOST_STATES}", field="states")
    states = [state for message in messages if (state := _read(message))]
    if any(state.clinic_id != clinic_id for state in states):
        raise InvalidArgument("states holds one of another clinic", field="states")
    await replica.apply(states)


def _read(message: StateMessage) -> State | None:
    try:
        return state_of_message(message)
    except UNREADABLE:
        raise InvalidArgument("states holds one that cannot be read", field="states") from None


async def fill(replica: Replica, directory: DirectoryClient) -> int:
    """Take in every current state; what is held already and newer stays. The number of states."""
    count = 0
    page: list[State] = []
    async for state in directory.stream_states():
        page.append(state)
        if len(page) == _PAGE:
            await replica.apply(page)
            count += len(page)
            page = []
    await replica.apply(page)
    log.info("replica_filled", count=count + len(page))
    return count + len(page)
