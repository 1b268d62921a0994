"""What support does about mail that does not arrive: feedback, suppressions, retries (I40)."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

import grpc
import pytest

from clinic.notifications.v1 import delivery_pb2
from clinic.notifications.v1 import notifications_internal_service_pb2 as pb
from deploy.local.mailbox.faults import Fault
from services.chassis.interceptors.status import error_info
from services.directory_replica.states import ProfileState
from services.messaging_rule import Side
from services.notifications.domain.feedback import Feedback, is_graver
from tests.support.grpc_world import failure, reason
from tests.support.notifications_world import LONG

DELIVERED, BOUNCED, BAD_RECIPIENT, COMPLAINT = (
    delivery_pb2.PROVIDER_STATE_DELIVERED,
    delivery_pb2.PROVIDER_STATE_BOUNCED,
    delivery_pb2.PROVIDER_STATE_BAD_RECIPIENT,
    delivery_pb2.PROVIDER_STATE_COMPLAINT,
)


@pytest.fixture
def ask(world):
    """Calls as support; each has a request id of its own, unless it brings one."""

    async def call(name, **fields):
        request = getattr(pb, f"{name}Request")
        if "request_id" in request.DESCRIPTOR.fields_by_name:
            fields.setdefault("request_id", str(uuid4()))
        method = getattr(world.internal, name)
        return await method(request(**fields), metadata=world.machine())

    return call


@pytest.fixture
async def sent(world):
    """A thread, and a message whose patient was mailed."""
    thread = await world.thread()
    message = await thread.send()
    await world.dispatch_due()
    assert world.outcome(message) == "SENT"
    return thread, message


async def report(world, ask, message, state, **more):
    (row,) = world.rows(message)
    answer = await ask(
        "RecordProviderFeedback",
        dispatch_id=str(row["dispatch_id"]),
        provider_state=state,
        **more,
    )
    return [each.provider_state for each in answer.deliveries]


async def next_outcome(world, thread):
    message = await thread.send()
    await world.dispatch_due()
    return world.outcome(message)


async def suppressions(ask, **fields):
    return (await ask("ListSuppressions", **fields)).suppressions


@pytest.mark.parametrize("state", [COMPLAINT, BAD_RECIPIENT])
async def test_a_complaint_and_a_bad_recipient_end_the_mail_to_that_address(
    world, ask, sent, state
):
    thread, message = sent

    assert await report(world, ask, message, state) == [state]

    assert world.outcome(message) == "SENT"
    assert await next_outcome(world, thread) == "SUPPRESSED(SUPPRESSED)"
    world.details.addresses[str(thread.profile_id)] = f"new-{thread.profile_id}@mail.test"
    assert await next_outcome(world, thread) == "SENT"


@pytest.mark.parametrize("state", [DELIVERED, BOUNCED])
async def test_a_delivery_and_a_soft_bounce_change_nothing_of_what_comes(world, ask, sent, state):
    thread, message = sent

    assert await report(world, ask, message, state) == [state]

    assert await suppressions(ask) == []
    assert await next_outcome(world, thread) == "SENT"


async def test_the_gravest_report_stands_whatever_comes_after(world, ask, sent):
    _, message = sent

    states = [
        await report(world, ask, message, state)
        for state in (BOUNCED, DELIVERED, COMPLAINT, BAD_RECIPIENT, COMPLAINT)
    ]

    assert states == [[BOUNCED], [BOUNCED], [COMPLAINT], [COMPLAINT], [COMPLAINT]]
    assert len(await suppressions(ask)) == 1


def test_no_report_is_graver_than_itself():
    order = [Feedback.DELIVERED, Feedback.BOUNCED, Feedback.BAD_RECIPIENT, Feedback.COMPLAINT]

    assert (
        sorted(Feedback, key=lambda each: sum(is_graver(each, other) for other in order)) == order
    )


async def test_each_change_is_told_once(world, ask, sent):
    _, message = sent
    before = world.told(message)

    for state in (BOUNCED, BOUNCED, DELIVERED, COMPLAINT):
        await report(world, ask, message, state)

    assert world.told(message) == before + 2


async def test_a_late_repeat_of_a_complaint_does_not_undo_a_lift(world, ask, sent):
    thread, message = sent
    await report(world, ask, message, COMPLAINT)
    (suppression,) = await suppressions(ask)
    await ask("LiftSuppression", suppression_id=suppression.suppression_id)

    await report(world, ask, message, COMPLAINT)

    assert await suppressions(ask) == []
    assert await next_outcome(world, thread) == "SENT"


async def test_only_what_providers_report_is_taken(world, ask, sent):
    _, message = sent

    error = await failure(report(world, ask, message, delivery_pb2.PROVIDER_STATE_UNSENT))

    assert reason(error) == "FIELD_INVALID"


async def test_what_was_never_handed_over_has_no_feedback(world, ask):
    thread = await world.thread()
    message = await thread.send()

    error = await failure(report(world, ask, message, COMPLAINT))

    assert (error.code(), reason(error)) == (grpc.StatusCode.NOT_FOUND, "DISPATCH_NOT_FOUND")


async def test_a_refused_address_is_listed_with_its_person_until_it_is_lifted(world, ask):
    thread = await world.thread()
    world.refuse(thread.profile_id, code=550)
    assert await next_outcome(world, thread) == "FAILED(REJECTED)"

    (suppression,) = await suppressions(ask, recipient_id=str(thread.profile_id))
    assert UUID(suppression.recipient_id) == thread.profile_id
    assert suppression.recipient_side == delivery_pb2.RECIPIENT_SIDE_PROFILE
    assert await suppressions(ask, recipient_id=str(thread.staff_id)) == []

    lift = {"suppression_id": suppression.suppression_id, "request_id": str(uuid4())}
    lifted = (await ask("LiftSuppression", **lift)).suppression
    assert (await ask("LiftSuppression", **lift)).suppression == lifted
    assert await suppressions(ask) == []
    assert await suppressions(ask, include_lifted=True) == [lifted]

    world.faults.clear()
    assert await next_outcome(world, thread) == "SENT"


async def test_suppressions_are_paged_latest_first(world, ask):
    threads = [await world.thread() for _ in range(3)]
    for thread in threads:
        world.refuse(thread.profile_id, code=550)
        await next_outcome(world, thread)

    first = await ask("ListSuppressions", page_size=2)
    rest = await ask("ListSuppressions", page_token=first.next_page_token)

    listed = [UUID(each.recipient_id) for each in [*first.suppressions, *rest.suppressions]]
    assert listed == [thread.profile_id for thread in reversed(threads)]
    assert rest.next_page_token == ""


async def test_a_suppression_of_another_clinic_is_not_there(world, ask, sent):
    _, message = sent
    await report(world, ask, message, COMPLAINT)
    (suppression,) = await suppressions(ask)

    world.clinic_id = uuid4()

    assert await suppressions(ask) == []
    error = await failure(ask("LiftSuppression", suppression_id=suppression.suppression_id))
    assert reason(error) == "SUPPRESSION_NOT_FOUND"


async def retry(world, ask, message, **more):
    (row,) = world.rows(message)
    return (await ask("RetryDelivery", delivery_id=str(row["id"]), **more)).delivery


@pytest.fixture
async def failed(world):
    """A thread, and a message whose mail was refused for good when it was handed over."""
    thread = await world.thread()
    world.faults.set(Fault(world.address_of(thread.profile_id), code=451))
    message = await thread.send()
    await world.dispatch_due()
    world.decided_long_ago(message, 2 * 24 * LONG)
    world.let_pass()
    await world.dispatch_due()
    assert world.outcome(message) == "FAILED(UNREACHABLE)"
    world.faults.clear()
    return thread, message


async def test_what_failed_is_tried_again_at_once_as_a_mail_of_its_own(world, ask, failed):
    thread, message = failed
    (before,) = world.rows(message)

    delivery = await retry(world, ask, message)

    assert delivery.state == delivery_pb2.DELIVERY_STATE_HELD
    assert delivery.dispatch_id != str(before["dispatch_id"])
    await world.dispatch_due()
    assert world.outcome(message) == "SENT"
    assert len(world.mails(thread.profile_id)) == 1


async def test_a_repeated_retry_is_one(world, ask, failed):
    thread, message = failed
    again = str(uuid4())

    for _ in range(2):
        await retry(world, ask, message, request_id=again)
        await world.dispatch_due()

    assert len(world.mails(thread.profile_id)) == 1


async def test_what_was_sent_is_not_retried(world, ask, sent):
    _, message = sent

    error = await failure(retry(world, ask, message))

    assert reason(error) == "DELIVERY_NOT_RETRYABLE"


async def test_what_may_have_arrived_is_retried_by_who_says_so(world, ask):
    thread = await world.thread()
    world.faults.set(Fault(world.address_of(thread.profile_id), hang="after_data"))
    message = await thread.send()
    await world.dispatch_due()
    world.faults.clear()

    error = await failure(retry(world, ask, message))
    assert reason(error) == "DELIVERY_MAY_HAVE_ARRIVED"

    await retry(world, ask, message, may_arrive_twice=True)
    await world.dispatch_due()
    assert world.outcome(message) == "SENT"


async def test_what_was_suppressed_is_retried_once_that_is_lifted(world, ask, sent):
    thread, message = sent
    await report(world, ask, message, COMPLAINT)
    later = await thread.send()
    await world.dispatch_due()

    error = await failure(retry(world, ask, later))
    assert reason(error) == "ADDRESS_SUPPRESSED"

    (suppression,) = await suppressions(ask)
    await ask("LiftSuppression", suppression_id=suppression.suppression_id)
    await retry(world, ask, later)
    await world.dispatch_due()
    assert world.outcome(later) == "SENT"


async def test_what_was_read_or_deleted_meanwhile_is_not_retried(world, ask, failed):
    thread, message = failed
    await world.take(thread.reading(Side.PROFILE, message.sequence))
    assert (await why_not(world, ask, message)) == "READ"

    await world.take(thread.deletion(message))
    assert (await why_not(world, ask, message)) == "DELETED"


async def test_the_rules_are_asked_before_a_retry_and_before_it_leaves(world, ask, failed):
    thread, message = failed
    await retry(world, ask, message)
    await world.update(ProfileState, thread.profile_id, do_not_email=True)
    await world.dispatch_due()
    assert world.outcome(message) == "CANCELLED(DO_NOT_EMAIL)"

    other = await world.thread()
    world.refuse(other.profile_id, code=550)
    refused = await other.send()
    await world.dispatch_due()
    (suppression,) = await suppressions(ask, recipient_id=str(other.profile_id))
    await ask("LiftSuppression", suppression_id=suppression.suppression_id)
    await world.update(ProfileState, other.profile_id, do_not_email=True)

    assert (await why_not(world, ask, refused)) == "DO_NOT_EMAIL"


async def test_a_person_whom_the_replica_lost_is_asked_of_the_directory(world, ask, failed):
    _, message = failed
    world.replica_forgets_profiles()
    world.directory.reachable = False
    error = await failure(retry(world, ask, message))
    assert error.code() == grpc.StatusCode.UNAVAILABLE

    world.directory.reachable = True
    await retry(world, ask, message)

    await world.dispatch_due()
    assert world.outcome(message) == "SENT"


async def why_not(world, ask, message):
    error = await failure(retry(world, ask, message))
    assert reason(error) == "DELIVERY_NOT_WANTED"
    info = error_info(error)
    assert info is not None
    return info.metadata["why"]


async def test_the_words_of_a_message_log(world, ask, sent):
    thread, message = sent

    async def words():
        listed = await ask("ListDeliveries", conversation_id=str(thread.id))
        return [
            delivery_pb2.ProviderState.Name(each.provider_state).removeprefix("PROVIDER_STATE_")
            for each in listed.deliveries
            if each.channel == delivery_pb2.CHANNEL_EMAIL
        ]

    assert await words() == ["SENT"]
    await report(world, ask, message, DELIVERED)
    await thread.send(at=datetime.now(UTC))
    assert await words() == ["UNSENT", "DELIVERED"]
    world.refuse(thread.profile_id, code=550)
    await world.dispatch_due()
    assert await words() == ["BAD_RECIPIENT", "DELIVERED"]
    world.faults.clear()
    world.details.addresses[str(thread.profile_id)] = f"new-{thread.profile_id}@mail.test"
    world.faults.set(Fault(world.address_of(thread.profile_id), hang="after_data"))
    await thread.send()
    await world.dispatch_due()
    assert await words() == ["UNSPECIFIED", "BAD_RECIPIENT", "DELIVERED"]


async def test_what_support_changes_is_audited_in_its_transaction(world, ask, sent):
    _, message = sent
    await report(world, ask, message, COMPLAINT)
    (suppression,) = await suppressions(ask)
    await ask("LiftSuppression", suppression_id=suppression.suppression_id)

    assert world.audited() == [
        ("ops:support", "record_provider_feedback"),
        ("ops:support", "lift_suppression"),
    ]
