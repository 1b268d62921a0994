"""What the fuzz and the table once found, each as a test of its own."""

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from clinic.conversations.v1 import conversations_internal_service_pb2 as conversations
from clinic.conversations.v1 import conversations_service_pb2 as inbox
from clinic.directory.v1 import directory_events_pb2 as events
from clinic.operations.v1 import operations_service_pb2 as operations
from deploy.local.ports import SERVICES
from tests.support.rpcs import rpc

pytestmark = pytest.mark.xdist_group("two clinics")

INVALID = (grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID")


async def outcome(victim, caller, name, request):
    people = await victim.people()
    answer = await victim.clinic.ask(people[caller], rpc(name), request.SerializeToString())
    return answer.code, answer.reason


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("field", ["actor", "object_id"])
async def test_nul_in_a_filter_is_no_outage_of_the_database(victim, service, field):
    request = operations.ListAuditRecordsRequest()
    setattr(request, field, "a\x00b")
    name = f"{service}.operations.ListAuditRecords"

    assert await outcome(victim, "ops:support", name, request) == INVALID


@pytest.mark.parametrize("seconds", [253_402_300_800, -62_135_596_801, 2**63 - 1])
async def test_a_cut_off_beyond_the_calendar_is_no_fault_of_ours(victim, seconds):
    people = await victim.people()
    request = conversations.StreamMessagesRequest(
        staff_id=people["staff"].id, cutoff_time=Timestamp(seconds=seconds)
    )

    name = "conversations.internal.StreamMessages"
    assert await outcome(victim, "service:export", name, request) == INVALID


@pytest.mark.parametrize("service", ["conversations", "notifications"])
async def test_states_of_another_clinic_are_not_applied(victim, service):
    far = victim.clinics.far
    state = events.ProfileState(
        clinic_id=far.id, profile_id=far.people["patient"].id, version=10**9, incarnation="z"
    )
    request = conversations.ApplyStatesRequest(states=[events.State(profile=state)])

    name = f"{service}.internal.ApplyStates"
    assert await outcome(victim, "service:directory", name, request) == INVALID


@pytest.mark.parametrize("service", ["conversations", "notifications"])
@pytest.mark.parametrize(
    "changes",
    [
        {"profile_id": "not-an-id"},
        {"merge_id": "\x00"},
        {"incarnation": "\x00"},
        {"clinic_id": ""},
    ],
    ids=str,
)
async def test_a_state_that_cannot_be_read_is_no_fault_of_ours(victim, service, changes):
    people = await victim.people()
    state = events.ProfileState(
        clinic_id=victim.clinic.id, profile_id=people["patient"].id, version=1
    )
    for field, value in changes.items():
        setattr(state, field, value)
    request = conversations.ApplyStatesRequest(states=[events.State(profile=state)])

    name = f"{service}.internal.ApplyStates"
    assert await outcome(victim, "service:directory", name, request) == INVALID


async def test_a_resume_token_of_somebody_else_is_named(victim):
    request = inbox.WatchInboxRequest(resume_token=victim.tokens[2])

    assert await outcome(victim, "staff", "conversations.WatchInbox", request) == INVALID
