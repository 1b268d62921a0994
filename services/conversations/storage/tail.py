"""This process's reading of its own service's events, for the watches it holds (section 6)."""

import asyncio
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.chassis import outbox
from services.chassis.database import Database
from services.chassis.errors import OutOfRange, ResourceExhausted
from services.chassis.identity import Caller
from services.chassis.limits import WATCHES_PER_PROFILE
from services.chassis.line import AnyRow
from services.chassis.outbox import UNTOLD_SECONDS, Signal
from services.conversations.domain.watching import CloseCause, Position
from services.conversations.domain.writing import side_of
from services.messaging_rule import Side

QUEUE_MOST = 256
CATCH_UP_MOST = 10_000
REVOCATION_SECONDS = 1.0
_PAGE = 500

_COLUMNS = "position, type, clinic_id, aggregate_id, staff_id, profile_id, payload"
_AFTER = text(f"""
select {_COLUMNS} from outbox where position > :after order by position limit :most
""")
_MISSED = {
    side: text(f"""
        select {_COLUMNS} from outbox
        where position > :after and position <= :until
          and clinic_id = :clinic_id and {side}_id = :person_id
        order by position
    """)
    for side in Side
}
_REVOKED = text("""
select watch.number, session.ended_at is not null as ended, profile.merge_id is not null as merged,
    staff.deactivation_id is not null as inactive
from unnest(cast(:numbers as int[]), cast(:clinics as uuid[]), cast(:sessions as uuid[]),
            cast(:persons as uuid[])) as watch (number, clinic_id, session_id, person_id)
left join replica_sessions as session
    on session.clinic_id = watch.clinic_id and session.session_id = watch.session_id
left join replica_profiles as profile
    on profile.clinic_id = watch.clinic_id and profile.profile_id = watch.person_id
left join replica_staff as staff
    on staff.clinic_id = watch.clinic_id and staff.staff_id = watch.person_id
where session.ended_at is not null or profile.merge_id is not null
   or staff.deactivation_id is not null
""")


@dataclass(frozen=True, slots=True)
class InboxEvent:
    """An event that concerns a person's inbox; `payload` is the fact's bytes."""

    number: int
    type: str
    conversation_id: UUID
    payload: bytes


@dataclass(slots=True, eq=False)
class Watch:
    """One open stream: what waits for it, and why it is to end, once it is."""

    caller: Caller
    waiting: deque[InboxEvent] = field(default_factory=deque)
    cause: CloseCause | None = None
    woken: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, event: InboxEvent) -> None:
        if len(self.waiting) >= QUEUE_MOST:
            self.close(CloseCause.TOO_SLOW)
            return
        self.waiting.append(event)
        self.woken.set()

    def close(self, cause: CloseCause) -> None:
        self.cause = self.cause or cause
        self.woken.set()


class Tail:
    """Reads the outbox by position, once for all watches, and hands each its own."""

    def __init__(self, worker: Database) -> None:
        self.positioned = Signal()
        self._worker = worker
        self._watches: dict[tuple[UUID, Side, UUID], list[Watch]] = defaultdict(list)
        self._at = Position("", 0)
        self._started = asyncio.Event()

    async def run(self) -> None:
        """Follow the end of the outbox, for ever."""
        self._at = self._at if self._at.incarnation else await self.end()
        self._started.set()
        while True:
            read = await self._read() if self.watched else 0
            if read < _PAGE:
                await self.positioned.wait(UNTOLD_SECONDS)

    async def _read(self) -> int:
        """Hand on one page; how many events it had."""
        after = {"after": self._at.number, "most": _PAGE}
        [rows] = await self._worker.exchange((_AFTER, after))
        for row in rows:
            if row.position > self._at.number:
                self._route(row)
                self._at = Position(self._at.incarnation, row.position)
        return len(rows)

    def _route(self, row: AnyRow) -> None:
        for side, person_id in ((Side.STAFF, row.staff_id), (Side.PROFILE, row.profile_id)):
            for watch in self._watches.get((row.clinic_id, side, person_id), ()):
                watch.put(_to_event(row))

    @property
    def watched(self) -> bool:
        return bool(self._watches)

    @property
    def at(self) -> Position:
        """How far every watch has been served."""
        return self._at

    async def end(self) -> Position:
        """The last position there is."""
        bounds = await self._worker.connect(outbox.read_bounds)
        return Position(bounds.incarnation, bounds.last)

    async def open(self, caller: Caller) -> Watch:
        """Register a watch; raises ResourceExhausted beyond 5 of one person."""
        await self._started.wait()
        if not self.watched:
            # While nobody watches nothing is read: the tail is where it was when somebody did.
            end = await self.end()
            if not self.watched:
                self._at = max(self._at, end, key=lambda position: position.number)
        held = self._watches[_key(caller)]
        if len(held) >= WATCHES_PER_PROFILE:
            raise ResourceExhausted("Too many watches of this profile; close one")
        watch = Watch(caller)
        held.append(watch)
        # What came since was told to a tail that nobody watched.
        self.positioned.set()
        return watch

    def close(self, watch: Watch) -> None:
        key = _key(watch.caller)
        self._watches[key].remove(watch)
        if not self._watches[key]:
            del self._watches[key]

    async def missed(self, caller: Caller, since: Position) -> Sequence[InboxEvent]:
        """The caller's events after a position, up to where the tail is.

        Raises OutOfRange where they are gone, or too many: the client has to read anew.
        """
        until = self._at.number
        if until - since.number > CATCH_UP_MOST:
            raise OutOfRange("Too much has happened since this position")

        async def work(connection: AsyncConnection) -> Sequence[InboxEvent]:
            await outbox.check_position(connection, since.incarnation, since.number)
            rows = await connection.execute(
                _MISSED[side_of(caller)],
                {
                    "after": since.number,
                    "until": until,
                    "clinic_id": caller.clinic,
                    "person_id": caller.person,
                },
            )
            return [_to_event(row) for row in rows]

        return await self._worker.connect(work)

    async def revoke(self) -> None:
        """Close the watches whose session or profile has ended, in one statement a second (P9)."""
        while True:
            watches = [watch for held in self._watches.values() for watch in held]
            if watches:
                await self._revoke(watches)
            await asyncio.sleep(REVOCATION_SECONDS)

    async def _revoke(self, watches: Sequence[Watch]) -> None:
        parameters = {
            "numbers": list(range(len(watches))),
            "clinics": [watch.caller.clinic for watch in watches],
            "sessions": [watch.caller.session_id for watch in watches],
            "persons": [watch.caller.person for watch in watches],
        }
        rows = await self._worker.connect(lambda c: c.execute(_REVOKED, parameters))
        for row in rows:
            watches[row.number].close(_cause(row))

    def stop(self) -> None:
        """Tell every watch to reconnect elsewhere: this process is going away."""
        for held in self._watches.values():
            for watch in held:
                watch.close(CloseCause.SERVER_STOPPING)


def _key(caller: Caller) -> tuple[UUID, Side, UUID]:
    return caller.clinic, side_of(caller), caller.person


def _cause(row: Row[tuple[object, ...]]) -> CloseCause:
    if row.merged:
        return CloseCause.PROFILE_MERGED
    return CloseCause.STAFF_INACTIVE if row.inactive else CloseCause.SESSION_ENDED


def _to_event(row: AnyRow) -> InboxEvent:
    return InboxEvent(row.position, row.type, row.aggregate_id, row.payload)
