"""What waits to be done, across clinics: read as `worker`, done as `app` in one clinic each."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text

from services.chassis.database import Database
from services.messaging_rule import Side
from services.notifications.domain.delivery import Channel, Recipient

_DUE = text("""
select distinct clinic_id, recipient_side, recipient_id, dispatch_id from (
    (select clinic_id, recipient_side, recipient_id, dispatch_id from deliveries
     where channel = :channel and state = 'HELD' and due_at <= clock_timestamp()
       and dispatch_id <> all (cast(:besides as uuid[]))
     order by due_at limit :most)
    union all
    (select clinic_id, recipient_side, recipient_id, dispatch_id from deliveries
     where channel = :channel and state in ('CLAIMED', 'TRANSMITTING')
       and leased_until <= clock_timestamp()
       and dispatch_id <> all (cast(:besides as uuid[]))
     order by leased_until limit :most)
) as due limit :most
""")
# Of profiles, the few that may have changed are looked at first: their index asks for the second
# line of conditions, which follows from the others.
_CHANGED = text("""
(select distinct clinic_id, 'staff' as side, person_id from replica_sessions
 where side = 'staff' and ended_at is not null
   and (derived_incarnation, derived_version) <> (incarnation, version)
 limit :most)
union
(select held.clinic_id, held.recipient_side, held.recipient_id
 from deliveries as held join replica_profiles as profile
   on profile.clinic_id = held.clinic_id and profile.profile_id = held.recipient_id
 where held.state = 'HELD' and held.recipient_side = 'profile'
   and (profile.do_not_email or profile.merge_id is not null
        or held.message_sent_at < profile.unmerged_at
        or held.message_sent_at < profile.mailable_since)
   and (profile.do_not_email or profile.merge_id is not null
        or profile.unmerged_at is not null or profile.mailable_since is not null)
 limit :most)
union
(select held.clinic_id, held.recipient_side, held.recipient_id
 from deliveries as held join replica_staff as staff
   on staff.clinic_id = held.clinic_id and staff.staff_id = held.recipient_id
 where held.state = 'HELD' and held.recipient_side = 'staff'
   and (not staff.active or staff.opted_in_at is null)
 limit :most)
""")


@dataclass(frozen=True, slots=True)
class DueDispatch:
    clinic_id: UUID
    recipient: Recipient
    dispatch_id: UUID


@dataclass(frozen=True, slots=True)
class ChangedRecipient:
    clinic_id: UUID
    recipient: Recipient


class Due:
    """Finding is no claim: whoever does the work locks and looks again."""

    def __init__(self, worker: Database) -> None:
        self._worker = worker

    async def dispatches(
        self, channel: Channel, *, besides: Collection[UUID], most: int
    ) -> Sequence[DueDispatch]:
        """Those whose time has come, or whose worker is gone; the longest waiting first."""
        parameters = {"channel": channel, "besides": list(besides), "most": most}
        [rows] = await self._worker.exchange((_DUE, parameters))
        return [
            DueDispatch(
                row.clinic_id,
                Recipient(Side(row.recipient_side), row.recipient_id),
                row.dispatch_id,
            )
            for row in rows
        ]

    async def changed_recipients(self, *, most: int) -> Sequence[ChangedRecipient]:
        """People of whom the directory has said something that earlier decisions do not know."""
        rows = await self._worker.connect(lambda c: c.execute(_CHANGED, {"most": most}))
        return [
            ChangedRecipient(row.clinic_id, Recipient(Side(row.side), row.person_id))
            for row in rows
        ]
