"""What the provider said, written down."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from services.notifications.domain.delivery import Delivery, Outcome, conclude
from services.notifications.domain.device import DeviceAddress
from services.notifications.domain.feedback import Feedback
from services.notifications.domain.suppression import SuppressionReason
from services.notifications.storage.unit_of_work import Batch
from services.notifications.usecases.begin_transmission import held_by
from services.notifications.usecases.claim_dispatch import Claim


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordOutcome:
    """`not_before` is when the provider will hear of it again, where it said so; `gone` are devices
    that it knows no more."""

    claim: Claim
    outcome: Outcome
    address_print: bytes | None = None
    not_before: datetime | None = None
    gone: Sequence[DeviceAddress] = ()

    @property
    def clinic_id(self) -> UUID:
        return self.claim.clinic_id


async def record_outcomes(tx: Batch, commands: Sequence[RecordOutcome]) -> list[None]:
    """Settle what each claim still holds, or put it back; an address refused is remembered
    (I40)."""
    ours = await held_by(tx, [command.claim for command in commands])
    await tx.save(
        [
            concluded
            for command in commands
            for concluded in _concluded(command, ours[command.claim.id], now=tx.now)
        ]
    )
    for command in commands:
        if command.outcome is Outcome.ADDRESS_REFUSED and command.address_print is not None:
            suppressions = tx.suppressions_of(command.clinic_id)
            await suppressions.add(
                command.claim.recipient,
                command.address_print,
                reason=SuppressionReason.REJECTED,
                now=tx.now,
            )
    await tx.drop_devices([device for command in commands for device in command.gone])
    return [None] * len(commands)


def _concluded(
    command: RecordOutcome, deliveries: Sequence[Delivery], *, now: datetime
) -> list[Delivery]:
    tries = max((delivery.attempts for delivery in deliveries), default=0)
    refused = command.outcome is Outcome.ADDRESS_REFUSED
    return [
        conclude(
            replace(
                delivery,
                address_print=command.address_print,
                feedback=Feedback.BAD_RECIPIENT if refused else delivery.feedback,
            ),
            command.outcome,
            tries=tries,
            now=now,
            not_before=command.not_before,
        )
        for delivery in deliveries
    ]
