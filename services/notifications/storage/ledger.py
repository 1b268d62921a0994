"""The ledger as batches work on it: rows of many recipients, of any clinics of the transaction.

Each statement is for the whole batch. Whoever moves a row holds the lock of its recipient.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from services.chassis.json_rows import to_json
from services.chassis.line import Connection
from services.notifications.domain.delivery import (
    Channel,
    Delivery,
    Dispatch,
    Recipient,
    Whom,
    is_claimable,
)
from services.notifications.domain.fact import ConversationRead, MessageDeleted
from services.notifications.storage.deliveries import COLUMNS, to_deliveries, to_row

# In the order of the keys given, which is the same for everybody: nobody waits in a circle.
_LOCK = text("select pg_advisory_xact_lock(key) from unnest(cast(:keys as bigint[])) as key")
# One that is there already stands.
_ADD = text(f"""
insert into deliveries ({COLUMNS})
select {COLUMNS} from jsonb_populate_recordset(null::deliveries, cast(:rows as jsonb))
on conflict on constraint deliveries_clinic_id_message_id_recipient_id_channel_key do nothing
returning id
""")
_SAVE = text("""
update deliveries as held
set state = new.state, reason = new.reason, decided_at = new.decided_at,
    due_at = new.due_at, sent_at = new.sent_at, dispatch_id = new.dispatch_id,
    attempts = new.attempts, claim_id = new.claim_id, leased_until = new.leased_until,
    resent = new.resent, address_print = new.address_print, feedback = new.feedback,
    version = new.version
from jsonb_populate_recordset(null::deliveries, cast(:rows as jsonb)) as new
where held.clinic_id = new.clinic_id and held.id = new.id
""")
# HELD, said so that the index of what waits for a person serves, and not that of all that is due: a
# plan that was made while nothing waited would take either.
_HELD = "state in ('HELD', 'CLAIMED') and claim_id is null"
# A dispatch that may have reached the provider already takes nothing further in.
_OPEN_DISPATCHES = text(f"""
select asked.*, held.dispatch_id, held.due_at
from unnest(cast(:clinics as uuid[]), cast(:recipients as uuid[]),
            cast(:conversations as uuid[]), cast(:channels as text[]))
    as asked (clinic_id, recipient_id, conversation_id, channel),
lateral (
    select dispatch_id, due_at from deliveries
    where clinic_id = asked.clinic_id and recipient_id = asked.recipient_id
      and conversation_id = asked.conversation_id and channel = asked.channel
      and {_HELD} and not resent
    order by due_at limit 1
) as held
""")
_NAMED = ", ".join(f"held.{column.strip()}" for column in COLUMNS.split(","))
_OF_DISPATCHES = text(f"""
select {_NAMED} from deliveries as held
join unnest(cast(:clinics as uuid[]), cast(:dispatches as uuid[]))
    as asked (clinic_id, dispatch_id) using (clinic_id, dispatch_id)
where held.state in ('HELD', 'CLAIMED', 'TRANSMITTING')
order by held.id
""")
_WAITING_OF_MESSAGES = text(f"""
select {_NAMED} from deliveries as held
join unnest(cast(:clinics as uuid[]), cast(:recipients as uuid[]), cast(:messages as uuid[]))
    as asked (clinic_id, recipient_id, message_id)
    using (clinic_id, recipient_id, message_id)
where held.state in ('HELD', 'CLAIMED')
""")
_WAITING_OF_THREADS = text(f"""
select {_NAMED} from deliveries as held
join unnest(cast(:clinics as uuid[]), cast(:recipients as uuid[]),
            cast(:conversations as uuid[]), cast(:sequences as bigint[]))
    as asked (clinic_id, recipient_id, conversation_id, up_to_sequence)
    using (clinic_id, recipient_id, conversation_id)
where held.sequence <= asked.up_to_sequence and held.state in ('HELD', 'CLAIMED')
""")
_HELD_FOR = text(f"""
select {_NAMED} from deliveries as held
join unnest(cast(:clinics as uuid[]), cast(:recipients as uuid[]))
    as asked (clinic_id, recipient_id) using (clinic_id, recipient_id)
where {_HELD}
""")
_SIGNED_IN = text(f"""
select held.* from unnest(cast(:clinics as uuid[]), cast(:recipients as uuid[]),
                          cast(:since as timestamptz[]))
    as asked (clinic_id, recipient_id, since),
lateral (
    select {COLUMNS} from deliveries
    where clinic_id = asked.clinic_id and recipient_id = asked.recipient_id
      and reason = 'SIGNED_IN' and message_sent_at >= asked.since
    order by message_sent_at, id limit :most
) as held
""")
# Far more than one absence brings together; what lies beyond stays as it is.
_MOST_SIGNED_IN = 1_000
_SUPPRESSED = text("""
select clinic_id, recipient_id, address_print from suppressions
join unnest(cast(:clinics as uuid[]), cast(:recipients as uuid[]))
    as asked (clinic_id, recipient_id) using (clinic_id, recipient_id)
where lifted_at is null
""")


@dataclass(frozen=True, slots=True)
class Burst:
    """What may share a dispatch: one recipient's deliveries of one thread on one channel."""

    whom: Whom
    conversation_id: UUID
    channel: Channel


class Ledger:
    """`due` are the channels that it has left something to be sent by now."""

    def __init__(self, connection: Connection, now: datetime) -> None:
        self._connection = connection
        self._now = now
        self.due: set[Channel] = set()

    async def lock(self, people: Iterable[Whom]) -> None:
        """One transaction at a time decides and moves what concerns these people.

        A statement of its own: what follows sees what committed while the locks were awaited.
        """
        keys = sorted({_lock_key(whom) for whom in people})
        await self._connection.execute(_LOCK, {"keys": keys})

    async def add(self, deliveries: Sequence[Delivery]) -> list[Delivery]:
        """Those that are new; a message, recipient and channel that has its row keeps it."""
        if not deliveries:
            return []
        self._note(deliveries)
        added = await self._connection.execute(_ADD, {"rows": _rows(deliveries)})
        ids = set(added.scalars())
        return [delivery for delivery in deliveries if delivery.id in ids]

    async def save(self, deliveries: Sequence[Delivery]) -> None:
        if deliveries:
            self._note(deliveries)
            await self._connection.execute(_SAVE, {"rows": _rows(deliveries)})

    def _note(self, deliveries: Sequence[Delivery]) -> None:
        self.due |= {each.channel for each in deliveries if is_claimable(each, now=self._now)}

    async def open_dispatches(self, bursts: Collection[Burst]) -> Mapping[Burst, Dispatch]:
        """The dispatches that still wait, which further messages of the thread join (I42)."""
        if not bursts:
            return {}
        asked = {_key(burst): burst for burst in bursts}
        parameters = {
            "clinics": [burst.whom.clinic_id for burst in bursts],
            "recipients": [burst.whom.recipient.id for burst in bursts],
            "conversations": [burst.conversation_id for burst in bursts],
            "channels": [burst.channel for burst in bursts],
        }
        rows = await self._connection.execute(_OPEN_DISPATCHES, parameters)
        return {
            asked[row.clinic_id, row.recipient_id, row.conversation_id, row.channel]: Dispatch(
                row.dispatch_id, row.due_at
            )
            for row in rows
        }

    async def of_dispatches(
        self, dispatches: Collection[tuple[UUID, UUID]]
    ) -> Mapping[UUID, list[Delivery]]:
        """What is not settled of these dispatches of clinics, by dispatch, each in order of id."""
        parameters = {
            "clinics": [clinic_id for clinic_id, _ in dispatches],
            "dispatches": [dispatch_id for _, dispatch_id in dispatches],
        }
        found: dict[UUID, list[Delivery]] = {dispatch_id: [] for _, dispatch_id in dispatches}
        rows = await self._connection.execute(_OF_DISPATCHES, parameters)
        for delivery in to_deliveries(rows):
            assert delivery.dispatch_id is not None
            found[delivery.dispatch_id].append(delivery)
        return found

    async def waiting_of_messages(self, facts: Sequence[MessageDeleted]) -> list[Delivery]:
        """What can still be called off of deleted messages."""
        if not facts:
            return []
        parameters = {
            "clinics": [fact.clinic_id for fact in facts],
            "recipients": [fact.recipient.id for fact in facts],
            "messages": [fact.message_id for fact in facts],
        }
        return to_deliveries(await self._connection.execute(_WAITING_OF_MESSAGES, parameters))

    async def waiting_of_threads(self, facts: Sequence[ConversationRead]) -> list[Delivery]:
        """What can still be called off of messages that were read; each once for each fact."""
        if not facts:
            return []
        parameters = {
            "clinics": [fact.clinic_id for fact in facts],
            "recipients": [fact.recipient.id for fact in facts],
            "conversations": [fact.conversation_id for fact in facts],
            "sequences": [fact.up_to_sequence for fact in facts],
        }
        return to_deliveries(await self._connection.execute(_WAITING_OF_THREADS, parameters))

    async def held_for(self, people: Collection[Whom]) -> list[Delivery]:
        """What waits to be told to these people."""
        parameters = {
            "clinics": [whom.clinic_id for whom in people],
            "recipients": [whom.recipient.id for whom in people],
        }
        return to_deliveries(await self._connection.execute(_HELD_FOR, parameters))

    async def signed_in_since(self, since: Mapping[Whom, datetime]) -> list[Delivery]:
        """Not mailed because of a session, of messages from these times on."""
        if not since:
            return []
        parameters = {
            "clinics": [whom.clinic_id for whom in since],
            "recipients": [whom.recipient.id for whom in since],
            "since": list(since.values()),
            "most": _MOST_SIGNED_IN,
        }
        return to_deliveries(await self._connection.execute(_SIGNED_IN, parameters))

    async def suppressed(self, people: Collection[Whom]) -> Mapping[Whom, frozenset[bytes]]:
        """Prints of their addresses that do not work."""
        parameters = {
            "clinics": [whom.clinic_id for whom in people],
            "recipients": [whom.recipient.id for whom in people],
        }
        prints: dict[tuple[UUID, UUID], set[bytes]] = {}
        for row in await self._connection.execute(_SUPPRESSED, parameters):
            of_person = prints.setdefault((row.clinic_id, row.recipient_id), set())
            of_person.add(bytes(row.address_print))
        return {
            whom: frozenset(prints.get((whom.clinic_id, whom.recipient.id), ())) for whom in people
        }


def _rows(deliveries: Sequence[Delivery]) -> str:
    return to_json([to_row(delivery) for delivery in deliveries])


def _key(burst: Burst) -> tuple[UUID, UUID, UUID, str]:
    whom = burst.whom
    return whom.clinic_id, whom.recipient.id, burst.conversation_id, burst.channel


def _lock_key(whom: Whom) -> int:
    """The 64-bit key of a recipient's advisory lock."""
    recipient: Recipient = whom.recipient
    digest = hashlib.blake2b(
        whom.clinic_id.bytes + recipient.id.bytes, digest_size=8, person=b"mail-recipient"
    )
    return int.from_bytes(digest.digest(), signed=True)
