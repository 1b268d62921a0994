"""OperationsService, the same in every service: events, dead letters, audit, status, keys."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from uuid import UUID

import grpc
from google.protobuf.message import Message
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from clinic.operations.v1 import operations_service_pb2 as pb
from clinic.operations.v1.operations_service_pb2_grpc import OperationsServiceServicer
from services.chassis import audit, dead_letters, outbox, requests
from services.chassis.backbone import Backbone
from services.chassis.dead_letters import DeadLetter
from services.chassis.errors import InvalidArgument, NotFound, Unimplemented
from services.chassis.identity import Caller, current_caller
from services.chassis.ids import parse_id
from services.chassis.paging import PageTokens, page_size
from services.chassis.progress import read_progress
from services.chassis.wire import from_event

Context = grpc.aio.ServicerContext[Message, Message]
# (caller, request id) -> the newest version of the data key of the caller's clinic.
Rotate = Callable[[Caller, UUID], Awaitable[int]]

_EVENTS_DEFAULT = 100
_EVENTS_MOST = 500

_AUDIT = text("""
select id, clinic_id, actor, action, object_type, object_id, outcome, reason, recorded_at
from audit where clinic_id = :clinic_id and (:actor = '' or actor = :actor)
  and (:object_id = '' or object_id = :object_id)
  and (cast(:before as bigint) is null or id < :before)
order by id desc limit :most
""")
_REPEAT = text("""
select 1 from requests where actor = :actor and request_id = :request_id and method = :method
  and result_id = :id
""")
_OUTCOMES = {"done": pb.AUDIT_OUTCOME_DONE, "denied": pb.AUDIT_OUTCOME_DENIED}


class DeadLetterNotFound(NotFound):
    reason = "DEAD_LETTER_NOT_FOUND"


class OperationsServicer(OperationsServiceServicer):
    """For the support team and, of the events, for the other services."""

    def __init__(
        self, backbone: Backbone, page_tokens: PageTokens, *, rotate: Rotate | None = None
    ) -> None:
        self._backbone = backbone
        self._worker = backbone.worker
        self._tokens = page_tokens
        self._rotate = rotate

    async def ListEvents(
        self, request: pb.ListEventsRequest, context: Context
    ) -> pb.ListEventsResponse:
        most = _events_page_size(request.page_size)
        cursor = self._tokens.open(request.page_token, "events")
        incarnation, after = cursor or (request.incarnation, request.after_position)

        async def work(connection: AsyncConnection) -> Sequence[outbox.Event]:
            start = int(after) if incarnation else 0
            events = await outbox.read(connection, self._backbone.name, after=start, most=most)
            if incarnation:
                # After the reading, so that what retention takes away meanwhile is not skipped.
                await outbox.check_position(connection, str(incarnation), start)
            return events

        events = await self._worker.connect(work)
        token = ""
        if len(events) == most:
            token = self._tokens.seal("events", (events[-1].incarnation, events[-1].position))
        return pb.ListEventsResponse(events=map(from_event, events), next_page_token=token)

    async def ListDeadLetters(
        self, request: pb.ListDeadLettersRequest, context: Context
    ) -> pb.ListDeadLettersResponse:
        _check_storable(request.consumer, field="consumer")
        query, most = f"dead letters {request.consumer}", page_size(request.page_size)
        cursor = self._tokens.open(request.page_token, query)
        letters = await self._worker.connect(
            lambda connection: dead_letters.page(
                connection,
                consumer=request.consumer,
                before=UUID(str(cursor[0])) if cursor else None,
                most=most + 1,
            )
        )
        shown = letters[:most]
        token = self._tokens.seal(query, (str(shown[-1].id),)) if len(letters) > most else ""
        return pb.ListDeadLettersResponse(
            dead_letters=map(_from_letter, shown), next_page_token=token
        )

    async def GetDeadLetter(
        self, request: pb.GetDeadLetterRequest, context: Context
    ) -> pb.GetDeadLetterResponse:
        letter = await self._letter(request.dead_letter_id)
        if letter is None:
            raise DeadLetterNotFound("There is no such dead letter")
        return pb.GetDeadLetterResponse(dead_letter=_from_letter(letter))

    async def ReplayDeadLetter(
        self, request: pb.ReplayDeadLetterRequest, context: Context
    ) -> pb.ReplayDeadLetterResponse:
        request_id = parse_id(request.request_id, field="request_id")
        letter = await self._letter(request.dead_letter_id)
        if letter is None:
            await self._require_repeat(request_id, "replay_dead_letter", request.dead_letter_id)
            return pb.ReplayDeadLetterResponse(handled=True)
        error = await self._backbone.replay(letter)

        async def record(connection: AsyncConnection) -> bool:
            if error is not None:
                await dead_letters.tried_again(connection, letter, error)
            handled = error is None and await dead_letters.settle(connection, letter)
            await self._record(connection, letter, "replay_dead_letter")
            if handled:
                await _remember(connection, request_id, letter, "replay_dead_letter")
            return handled

        return pb.ReplayDeadLetterResponse(handled=await self._worker.connect(record))

    async def DiscardDeadLetter(
        self, request: pb.DiscardDeadLetterRequest, context: Context
    ) -> pb.DiscardDeadLetterResponse:
        request_id = parse_id(request.request_id, field="request_id")
        letter = await self._letter(request.dead_letter_id)
        if letter is None:
            await self._require_repeat(request_id, "discard_dead_letter", request.dead_letter_id)
            return pb.DiscardDeadLetterResponse()

        async def work(connection: AsyncConnection) -> None:
            await dead_letters.delete(connection, letter.id)
            await self._record(connection, letter, "discard_dead_letter")
            await _remember(connection, request_id, letter, "discard_dead_letter")

        await self._worker.connect(work)
        return pb.DiscardDeadLetterResponse()

    async def ListAuditRecords(
        self, request: pb.ListAuditRecordsRequest, context: Context
    ) -> pb.ListAuditRecordsResponse:
        clinic_id = current_caller().clinic
        _check_storable(request.actor, field="actor")
        _check_storable(request.object_id, field="object_id")
        query = f"audit {clinic_id} {request.actor} {request.object_id}"
        most = page_size(request.page_size)
        cursor = self._tokens.open(request.page_token, query)
        parameters = {
            "clinic_id": clinic_id,
            "actor": request.actor,
            "object_id": request.object_id,
            "before": int(cursor[0]) if cursor else None,
            "most": most + 1,
        }
        rows = (await self._worker.connect(lambda c: c.execute(_AUDIT, parameters))).all()
        shown = rows[:most]
        records = [
            pb.AuditRecord(
                number=row.id,
                clinic_id=str(row.clinic_id),
                actor=row.actor,
                action=row.action,
                object_type=row.object_type,
                object_id=row.object_id,
                outcome=_OUTCOMES.get(row.outcome, pb.AUDIT_OUTCOME_UNSPECIFIED),
                reason=row.reason,
                record_time=row.recorded_at,
            )
            for row in shown
        ]
        token = self._tokens.seal(query, (shown[-1].id,)) if len(rows) > most else ""
        return pb.ListAuditRecordsResponse(audit_records=records, next_page_token=token)

    async def GetStatus(
        self, request: pb.GetStatusRequest, context: Context
    ) -> pb.GetStatusResponse:
        progress = await self._worker.connect(read_progress)
        return pb.GetStatusResponse(
            incarnation=progress.incarnation,
            last_position=progress.last_position,
            published_position=progress.published_position,
            unpublished_events=progress.unpublished,
            bus_connected=self._backbone.bus.connected,
            consumers=[
                pb.ConsumerStatus(
                    source=each.source, position=each.position, incarnation=each.incarnation
                )
                for each in progress.handled
            ],
            dead_letters=progress.dead_letters,
        )

    async def RotateKeys(
        self, request: pb.RotateKeysRequest, context: Context
    ) -> pb.RotateKeysResponse:
        if self._rotate is None:
            raise Unimplemented("This service seals nothing")
        request_id = parse_id(request.request_id, field="request_id")
        version = await self._rotate(current_caller(), request_id)
        return pb.RotateKeysResponse(key_version=version)

    async def _letter(self, id: str) -> DeadLetter | None:
        letter_id = parse_id(id, field="dead_letter_id")
        return await self._worker.connect(lambda c: dead_letters.get(c, letter_id))

    async def _require_repeat(self, request_id: UUID, method: str, id: str) -> None:
        """A letter that is not there: DeadLetterNotFound, unless this very call removed it."""
        parameters = {
            "actor": current_caller().actor,
            "request_id": request_id,
            "method": method,
            "id": parse_id(id, field="dead_letter_id"),
        }
        found = await self._worker.connect(lambda c: c.execute(_REPEAT, parameters))
        if found.first() is None:
            raise DeadLetterNotFound("There is no such dead letter")

    async def _record(self, connection: AsyncConnection, letter: DeadLetter, action: str) -> None:
        record = audit.Record(action=action, object_type="dead_letter", object_id=letter.id)
        await audit.add(connection, current_caller(), letter.event.clinic_id, record)


async def _remember(
    connection: AsyncConnection, request_id: UUID, letter: DeadLetter, method: str
) -> None:
    """That this call removed the letter, for its repeats."""
    caller = replace(current_caller(), clinic_id=letter.event.clinic_id)
    await requests.claim(
        connection, caller, request_id, method=method, content=str(letter.id), result_id=letter.id
    )


def _check_storable(text: str, *, field: str) -> None:
    """Raises InvalidArgument for a text that no column can hold, so that no filter is for it."""
    if "\x00" in text:
        raise InvalidArgument(f"{field} must not hold NUL", field=field)


def _events_page_size(requested: int) -> int:
    if requested < 0:
        raise InvalidArgument("page_size must not be negative", field="page_size")
    return min(requested or _EVENTS_DEFAULT, _EVENTS_MOST)


def _from_letter(letter: DeadLetter) -> pb.DeadLetter:
    return pb.DeadLetter(
        dead_letter_id=str(letter.id),
        event=from_event(letter.event),
        source=letter.event.source,
        consumer=letter.consumer,
        error_class=letter.error_class,
        attempts=letter.attempts,
        create_time=letter.created_at,
    )
