"""Whose a dispatch is, for who knows its id alone: read as `worker`, across clinics."""

from uuid import UUID

from sqlalchemy import text

from services.chassis.database import Database

_CLINIC = text("""
select clinic_id from deliveries
where dispatch_id = :dispatch_id and state in ('TRANSMITTING', 'SENT', 'UNKNOWN') limit 1
""")


class Dispatches:
    def __init__(self, worker: Database) -> None:
        self._worker = worker

    async def clinic_of(self, dispatch_id: UUID) -> UUID | None:
        """None where its provider was handed nothing of it."""
        found = await self._worker.connect(
            lambda connection: connection.execute(_CLINIC, {"dispatch_id": dispatch_id})
        )
        clinic_id: UUID | None = found.scalar_one_or_none()
        return clinic_id
