"""What is to be taken back from the devices of profiles, one row a conversation that was pushed."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import text

from services.chassis.database import Database
from services.chassis.line import Connection
from services.notifications.domain.clear import LEASE, WAIT, Claimed, Clear
from services.notifications.domain.fact import ConversationRead, MessageDeleted

# What a provider may have; older ones a person has long put away.
_PUSHED = """channel = 'PUSH' and state in ('TRANSMITTING', 'SENT', 'UNKNOWN')
    and decided_at > now() - interval '7 days'"""
_WANT = """
insert into push_clears as held
    (clinic_id, profile_id, conversation_id, cleared_to, due_at, wanted_at)
select clinic_id, profile_id, conversation_id, max(cleared_to), now() + :wait, clock_timestamp()
from ({wanted}) as wanted
group by clinic_id, profile_id, conversation_id
on conflict (clinic_id, profile_id, conversation_id) do update
set cleared_to = greatest(held.cleared_to, excluded.cleared_to),
    due_at = excluded.due_at, wanted_at = excluded.wanted_at, tries = 0
"""
# Once for what was pushed: who reads on, or again, has nothing more to take back.
_AFTER_READS = text(
    _WANT.format(
        wanted=f"""
select clinic_id, profile_id, conversation_id, up_to_sequence as cleared_to
from unnest(cast(:clinics as uuid[]), cast(:profiles as uuid[]), cast(:conversations as uuid[]),
            cast(:sequences as bigint[]))
    as asked (clinic_id, profile_id, conversation_id, up_to_sequence)
left join push_clears as earlier using (clinic_id, profile_id, conversation_id)
where exists (
    select 1 from deliveries as pushed
    where pushed.clinic_id = asked.clinic_id and pushed.recipient_id = asked.profile_id
      and pushed.conversation_id = asked.conversation_id and {_PUSHED}
      and pushed.sequence <= asked.up_to_sequence
      and pushed.sequence > coalesce(earlier.cleared_to, 0))"""
    )
)
_AFTER_DELETES = text(
    _WANT.format(
        wanted=f"""
select clinic_id, profile_id, pushed.conversation_id, 0 as cleared_to
from unnest(cast(:clinics as uuid[]), cast(:profiles as uuid[]), cast(:messages as uuid[]))
    as asked (clinic_id, profile_id, message_id)
join deliveries as pushed using (clinic_id, message_id)
left join push_clears as earlier using (clinic_id, profile_id, conversation_id)
where pushed.recipient_id = asked.profile_id and {_PUSHED}
  and pushed.sequence > coalesce(earlier.cleared_to, 0)"""
    )
)
_KEY = """clinic_id = :clinic_id and profile_id = :profile_id
  and conversation_id = :conversation_id"""
_CLAIM = text(f"""
update push_clears set due_at = now() + :lease, tries = tries + 1
where {_KEY} and due_at <= now()
returning wanted_at, tries
""")
_STILL_SHOWN = text(f"""
select exists (
    select 1 from deliveries as pushed
    left join read_positions as read
      on read.clinic_id = pushed.clinic_id and read.conversation_id = pushed.conversation_id
     and read.side = 'profile'
    left join deleted_messages as deleted
      on deleted.clinic_id = pushed.clinic_id and deleted.message_id = pushed.message_id
    where pushed.clinic_id = :clinic_id and pushed.recipient_id = :profile_id
      and pushed.conversation_id = :conversation_id and {_PUSHED}
      and pushed.sequence > coalesce(read.up_to_sequence, 0) and deleted.message_id is null)
""")
_SETTLE = text(f"update push_clears set due_at = :due_at where {_KEY} and wanted_at = :wanted_at")
_DUE = text("""
select clinic_id, profile_id, conversation_id from push_clears
where due_at <= clock_timestamp() order by due_at limit :most
""")


class Clears:
    """Of any clinics of the transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def want_after_reads(self, facts: Sequence[ConversationRead]) -> None:
        """By profiles."""
        if not facts:
            return
        parameters = {
            "clinics": [fact.clinic_id for fact in facts],
            "profiles": [fact.recipient.id for fact in facts],
            "conversations": [fact.conversation_id for fact in facts],
            "sequences": [fact.up_to_sequence for fact in facts],
        }
        await self._connection.execute(_AFTER_READS, parameters | {"wait": WAIT})

    async def want_after_deletes(self, facts: Sequence[MessageDeleted]) -> None:
        """Of messages to profiles."""
        if not facts:
            return
        parameters = {
            "clinics": [fact.clinic_id for fact in facts],
            "profiles": [fact.recipient.id for fact in facts],
            "messages": [fact.message_id for fact in facts],
        }
        await self._connection.execute(_AFTER_DELETES, parameters | {"wait": WAIT})

    async def claim(self, clear: Clear) -> Claimed | None:
        """None where another has it, or nothing is to be taken back any more."""
        claimed = await self._connection.execute(_CLAIM, _key(clear) | {"lease": LEASE})
        if (row := claimed.one_or_none()) is None:
            return None
        shown = await self._connection.execute(_STILL_SHOWN, _key(clear))
        return Claimed(clear, row.wanted_at, row.tries, shown.scalar_one())

    async def settle(self, claimed: Claimed, *, due_at: datetime | None) -> None:
        """Done with, or to be tried again then. What was asked for meanwhile stays."""
        parameters = {"due_at": due_at, "wanted_at": claimed.wanted_at}
        await self._connection.execute(_SETTLE, _key(claimed.clear) | parameters)


class WaitingClears:
    """Across clinics, as `worker`. Finding is no claim."""

    def __init__(self, worker: Database) -> None:
        self._worker = worker

    async def due(self, *, most: int) -> list[Clear]:
        rows = await self._worker.connect(lambda c: c.execute(_DUE, {"most": most}))
        return [Clear(row.clinic_id, row.profile_id, row.conversation_id) for row in rows]


def _key(clear: Clear) -> dict[str, object]:
    return {
        "clinic_id": clear.clinic_id,
        "profile_id": clear.profile_id,
        "conversation_id": clear.conversation_id,
    }
