"""OperationsService through a real channel: events, audit, status, and who may ask."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import text

from clinic.operations.v1 import operations_service_pb2 as pb
from clinic.operations.v1.operations_service_pb2_grpc import OperationsServiceStub
from services.chassis import audit, dead_letters, outbox
from services.chassis.client import Peer, Signer, open_channel
from services.chassis.errors import OutOfRange
from services.chassis.events_client import EventsClient
from services.chassis.identity import Caller, Role
from services.chassis.interceptors.status import error_info
from services.chassis.progress import read_progress, show
from services.chassis.sweep import start_at_oldest
from services.chassis.telemetry import exposition
from tests.support.events import a_fact, write
from tests.support.grpc_world import AUDIENCE, bearer, failure, reason
from tests.support.operations_world import SERVICE


def _positions(response):
    return [event.position for event in response.events]


async def test_events_are_listed_from_the_oldest_as_they_are(ops, events):
    response = await ops("ListEvents")

    assert _positions(response) == [1, 2, 3, 4, 5]
    first, listed = events[0], response.events[0]
    occurred = Timestamp()
    occurred.FromDatetime(first.occurred_at)
    assert listed == pb.Event(
        event_id=str(first.event_id),
        clinic_id=str(first.clinic_id),
        kind=pb.EVENT_KIND_FACT,
        type="thing_happened",
        aggregate_id=str(first.aggregate_id),
        position=1,
        incarnation=first.incarnation,
        occur_time=occurred,
        trace=first.trace,
    )
    assert response.next_page_token == ""


async def test_events_are_listed_from_a_position(ops, events):
    here = {"incarnation": events[0].incarnation}

    assert _positions(await ops("ListEvents", **here, after_position=3)) == [4, 5]
    assert _positions(await ops("ListEvents", **here, after_position=5)) == []
    assert _positions(await ops("ListEvents", **here)) == [1, 2, 3, 4, 5]


async def test_events_are_paged(ops, events):
    pages: list[list[int]] = []
    token = ""
    while len(pages) < 5:
        response = await ops("ListEvents", page_size=2, page_token=token)
        pages.append(_positions(response))
        token = response.next_page_token
        if not token:
            break

    assert pages == [[1, 2], [3, 4], [5]]


async def test_a_page_token_of_another_caller_is_refused(ops, events):
    response = await ops("ListEvents", page_size=2)

    error = await failure(
        ops("ListEvents", page_token=response.next_page_token, by="service:export")
    )

    assert reason(error) == "PAGE_TOKEN_INVALID"


async def test_a_position_that_is_gone_is_out_of_range_and_says_where_to_go_on(ops, events, look):
    look("delete from outbox where position <= 2 returning 1")
    here = {"incarnation": events[0].incarnation}

    error = await failure(ops("ListEvents", **here, after_position=1))

    assert (error.code(), reason(error)) == (grpc.StatusCode.OUT_OF_RANGE, "POSITION_GONE")
    info = error_info(error)
    assert info is not None
    assert dict(info.metadata) == {
        "incarnation": events[0].incarnation,
        "oldest_position": "3",
        "last_position": "5",
    }
    assert _positions(await ops("ListEvents", **here, after_position=2)) == [3, 4, 5]
    assert _positions(await ops("ListEvents")) == [3, 4, 5]


async def test_events_that_are_forgotten_while_they_are_read_are_not_skipped_silently(
    ops, events, look, monkeypatch
):
    read = outbox.read

    async def read_late(*arguments, **options):
        look("delete from outbox where position <= 3 returning 1")
        return await read(*arguments, **options)

    monkeypatch.setattr(outbox, "read", read_late)
    error = await failure(ops("ListEvents", incarnation=events[0].incarnation, after_position=1))

    assert reason(error) == "POSITION_GONE"


@pytest.mark.parametrize("incarnation", ["none", "0190a5b0-0000-4000-8000-000000000001"])
async def test_another_incarnation_is_out_of_range(ops, events, incarnation):
    error = await failure(ops("ListEvents", incarnation=incarnation, after_position=5))

    assert reason(error) == "POSITION_GONE"


async def test_another_service_reads_the_events_as_they_were_written(served, events, signing_key):
    signer = Signer(signing_key, audience=AUDIENCE)
    async with open_channel(f"127.0.0.1:{served.built.port}") as channel:
        client = EventsClient(channel, Peer("conversations", signer=signer), source=SERVICE)

        assert await client.list_events("", 0, 500) == events
        assert await client.list_events(events[0].incarnation, 4, 500) == events[4:]
        with pytest.raises(OutOfRange) as gone:
            await client.list_events("none", 0, 500)

    assert gone.value.metadata["incarnation"] == events[0].incarnation
    assert await start_at_oldest(gone.value) == (events[0].incarnation, 0)


@pytest.fixture
async def audited(app):
    """Three records of a clinic, one of another."""
    clinic, staff = uuid4(), [str(uuid4()) for _ in range(2)]
    acts = [(staff[0], "a", "one"), (staff[0], "b", "two"), (staff[1], "c", "two")]
    for name, action, object_id in acts:
        await _record(app, clinic, name, action, object_id)
    await _record(app, uuid4(), staff[0], "elsewhere", "one")
    return clinic, staff


async def _record(app, clinic, name, action, object_id):
    caller = Caller(Role.STAFF, name, clinic, datetime.now(UTC) + timedelta(minutes=1))
    record = audit.Record(action=action, object_type="thing", object_id=object_id)
    await app.transact(lambda c, _: audit.add(c, caller, clinic, record), clinics=[clinic])


async def _actions(ops, **options):
    response = await ops("ListAuditRecords", **options)
    return [record.action for record in response.audit_records]


async def test_the_audit_of_a_clinic_is_listed_newest_first(ops, audited):
    clinic, staff = audited

    assert await _actions(ops, clinic=clinic) == ["c", "b", "a"]
    assert await _actions(ops, clinic=clinic, actor=f"staff:{staff[0]}") == ["b", "a"]
    assert await _actions(ops, clinic=clinic, object_id="two") == ["c", "b"]
    assert await _actions(ops, clinic=uuid4()) == []


async def test_the_audit_is_paged(ops, audited):
    clinic, _ = audited
    first = await ops("ListAuditRecords", clinic=clinic, page_size=2)
    rest = {"clinic": clinic, "page_size": 2, "page_token": first.next_page_token}

    assert [record.action for record in first.audit_records] == ["c", "b"]
    assert await _actions(ops, **rest) == ["a"]


async def test_a_page_token_of_another_clinic_s_audit_is_refused(ops, audited):
    clinic, _ = audited
    first = await ops("ListAuditRecords", clinic=clinic, page_size=2)

    error = await failure(ops("ListAuditRecords", clinic=uuid4(), page_token=first.next_page_token))

    assert reason(error) == "PAGE_TOKEN_INVALID"


async def test_the_audit_needs_a_clinic(ops):
    assert reason(await failure(ops("ListAuditRecords"))) == "CLINIC_REQUIRED"


async def test_the_status_says_how_far_everything_has_come(ops, events, app, look, worker):
    await worker.connect(
        lambda c: dead_letters.add(c, events[0], consumer="test", error=ValueError(), attempts=20)
    )
    await write(app, a_fact())
    look("update outbox_head set published_position = 3 returning 1")
    move = "insert into sweeps (source, incarnation, position) values ('directory', 'i1', 7)"
    await worker.connect(lambda c: c.execute(text(move)))

    status = await ops("GetStatus")

    assert status == pb.GetStatusResponse(
        incarnation=events[0].incarnation,
        last_position=5,
        published_position=3,
        unpublished_events=3,
        bus_connected=False,
        consumers=[pb.ConsumerStatus(source="directory", position=7, incarnation="i1")],
        dead_letters=1,
    )
    show(await worker.connect(read_progress))
    shown = exposition().decode()
    for line in (
        "clinic_events_position 5.0",
        "clinic_events_unpublished 3.0",
        'clinic_consumer_position{source="directory"} 7.0',
        "clinic_dead_letters 1.0",
    ):
        assert line in shown.splitlines()


@pytest.mark.parametrize(
    "method",
    [
        "ListDeadLetters",
        "GetDeadLetter",
        "ReplayDeadLetter",
        "DiscardDeadLetter",
        "ListAuditRecords",
        "GetStatus",
        "RotateKeys",
    ],
)
async def test_another_service_may_only_read_events(ops, method):
    error = await failure(ops(method, by="service:export"))

    assert (error.code(), reason(error)) == (
        grpc.StatusCode.PERMISSION_DENIED,
        "ROLE_NOT_ALLOWED",
    )
    await ops("ListEvents", by="service:export")


async def test_a_person_may_ask_nothing(served, keys):
    stub, metadata = OperationsServiceStub(served.channel), bearer(keys.person())

    error = await failure(stub.ListEvents(pb.ListEventsRequest(), metadata=metadata))

    assert error.code() == grpc.StatusCode.PERMISSION_DENIED


async def test_a_service_that_seals_nothing_rotates_nothing(ops):
    error = await failure(ops("RotateKeys", clinic=uuid4(), request_id=str(uuid4())))

    assert error.code() == grpc.StatusCode.UNIMPLEMENTED
