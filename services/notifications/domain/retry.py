"""Which deliveries support may try once more, and as what."""

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime

from services.chassis.errors import DomainError
from services.notifications.domain.delivery import Delivery, Dispatch, Reason, State, hold
from services.notifications.domain.errors import (
    AddressSuppressed,
    DeliveryMayHaveArrived,
    DeliveryNotRetryable,
    DeliveryNotWanted,
)

_RETRYABLE = frozenset({State.FAILED, State.SUPPRESSED, State.UNKNOWN})


def refusal_to_retry(
    delivery: Delivery, *, suppressed: Collection[bytes], may_arrive_twice: bool
) -> DomainError | None:
    """Why this delivery is not tried again, or None. `suppressed` are prints of the recipient's
    addresses that are mailed no more."""
    if delivery.state not in _RETRYABLE:
        return DeliveryNotRetryable(
            "Only what failed, was suppressed or is unknown is retried", state=delivery.state
        )
    if delivery.state is State.UNKNOWN and not may_arrive_twice:
        return DeliveryMayHaveArrived("The recipient may have it; say that it may arrive twice")
    if delivery.address_print in suppressed:
        return AddressSuppressed("The address is suppressed; lift that first")
    return None


def refusal_of_rules(why: Reason | None) -> DomainError | None:
    return None if why is None else DeliveryNotWanted("Nobody is told of it any more", why=why)


def retried(delivery: Delivery, dispatch: Dispatch, *, now: datetime) -> Delivery:
    """What was known of the earlier try is of the earlier try."""
    held = hold(delivery, dispatch, now=now)
    return replace(held, resent=False, feedback=None, address_print=None)
