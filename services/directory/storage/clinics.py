"""Clinics and their settings: one row each, and one for each time the settings changed."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.directory.domain.clinic import Clinic, MessagingPolicy, MessagingSettings

COLUMNS = """clinic_id, name, messaging_policy, portal_link_base, mail_hold, sender_name,
    away_after, version, details_version, settings_version, created_at"""

_GET = f"select {COLUMNS} from clinics where clinic_id = :clinic_id"
_GET_PLAIN = text(_GET)
_GET_LOCKED = text(_GET + " for no key update")
_CREATE = text("""
insert into clinics (clinic_id, name, messaging_policy, portal_link_base, mail_hold, sender_name,
    away_after, version, details_version, settings_version, created_at)
values (:clinic_id, :name, :messaging_policy, :portal_link_base, :mail_hold, :sender_name,
    :away_after, 1, 1, 1, :created_at)
""")
# What mails are made from counts as details; every setting counts for the settings' etag.
_SAVE = text(f"""
update clinics set
    name = :name, messaging_policy = :messaging_policy, portal_link_base = :portal_link_base,
    mail_hold = :mail_hold, sender_name = :sender_name, away_after = :away_after,
    version = version + 1,
    details_version = details_version + cast(
        (name, portal_link_base, sender_name)
        is distinct from (:name, :portal_link_base, :sender_name) as integer),
    settings_version = settings_version + cast(
        (messaging_policy, portal_link_base, mail_hold, sender_name, away_after)
        is distinct from
        (:messaging_policy, :portal_link_base, cast(:mail_hold as interval), :sender_name,
         cast(:away_after as interval)) as integer)
where clinic_id = :clinic_id
returning {COLUMNS}
""")
# The version that is there already is that of a change to something else, such as the name.
_KEEP_SETTINGS = text("""
insert into clinic_settings (clinic_id, settings_version, changed_at, actor, messaging_policy,
    portal_link_base, mail_hold, sender_name, away_after)
select clinic_id, settings_version, :now, :actor, messaging_policy, portal_link_base, mail_hold,
    sender_name, away_after
from clinics where clinic_id = :clinic_id
on conflict do nothing
""")


class Clinics:
    def __init__(self, connection: AsyncConnection, clinic_id: UUID) -> None:
        self._connection = connection
        self._clinic_id = clinic_id

    async def get(self) -> Clinic | None:
        """The clinic that the transaction is scoped to."""
        found = await self._connection.execute(_GET_PLAIN, {"clinic_id": self._clinic_id})
        row = found.one_or_none()
        return None if row is None else to_clinic(row)

    async def lock(self) -> Clinic | None:
        """As `get`, and nobody else changes it before the transaction ends."""
        found = await self._connection.execute(_GET_LOCKED, {"clinic_id": self._clinic_id})
        row = found.one_or_none()
        return None if row is None else to_clinic(row)

    async def create(self, clinic: Clinic, *, actor: str) -> None:
        await self._connection.execute(_CREATE, _parameters(clinic))
        await self._keep_settings(actor, clinic.created_at)

    async def save(self, clinic: Clinic, *, actor: str, now: datetime) -> Clinic:
        """Save a locked clinic under its next version, and its settings where they changed."""
        saved = to_clinic((await self._connection.execute(_SAVE, _parameters(clinic))).one())
        await self._keep_settings(actor, now)
        return saved

    async def _keep_settings(self, actor: str, now: datetime) -> None:
        parameters = {"clinic_id": self._clinic_id, "actor": actor, "now": now}
        await self._connection.execute(_KEEP_SETTINGS, parameters)


def _parameters(clinic: Clinic) -> dict[str, object]:
    settings = clinic.settings
    return {
        "clinic_id": clinic.clinic_id,
        "name": clinic.name,
        "messaging_policy": settings.messaging_policy,
        "portal_link_base": settings.portal_link_base,
        "mail_hold": settings.mail_hold,
        "sender_name": settings.sender_name,
        "away_after": settings.away_after,
        "created_at": clinic.created_at,
    }


def to_clinic(row: Row[tuple[object, ...]]) -> Clinic:
    return Clinic(
        clinic_id=row.clinic_id,
        name=row.name,
        settings=MessagingSettings(
            messaging_policy=MessagingPolicy(row.messaging_policy),
            portal_link_base=row.portal_link_base,
            mail_hold=row.mail_hold,
            sender_name=row.sender_name,
            away_after=row.away_after,
        ),
        version=row.version,
        details_version=row.details_version,
        settings_version=row.settings_version,
        created_at=row.created_at,
    )
