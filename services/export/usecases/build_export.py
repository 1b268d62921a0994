"""Write the files of an export, in as many attempts as it takes.

Two attempts of one job write the same bytes: what they read is cut at the job's own moment, names
are kept from when they were first read, and nothing in the files says when they were written.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

from services.export.clients.conversations import Conversations
from services.export.clients.directory import Directory
from services.export.domain.job import MOST_ATTEMPTS, Checkpoint, Job, LeaseLost, Mark
from services.export.domain.stream import Conversation, Message, Walk
from services.export.formats.lines import ChainedFile
from services.export.formats.manifest import write_manifest
from services.export.formats.records import conversation_record, message_record
from services.export.formats.shelf import Draft, Shelf
from services.export.formats.signing import ManifestSigner
from services.export.storage.jobs import Jobs
from services.export_format.layout import CONVERSATIONS, MESSAGES, Counts

_PAGE = 500


class TooManyAttempts(Exception):
    """The process ended in the middle of every attempt."""


@dataclass(frozen=True, slots=True)
class Pace:
    """What a crash may undo: so many messages and conversations, or so many seconds."""

    items: int = 1_000
    seconds: float = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """All that an export is built with."""

    jobs: Jobs
    conversations: Conversations
    directory: Directory
    shelf: Shelf
    signer: ManifestSigner
    pace: Pace = Pace()


async def build_next(workshop: Workshop) -> bool:
    """One attempt at the export that is due; False where none is.

    What fails is put back, to go on later from its last checkpoint, and in the end given up.
    """
    job = await workshop.jobs.claim()
    if job is None:
        return False
    with suppress(LeaseLost):
        await _attempt(job, workshop)
    return True


async def _attempt(job: Job, workshop: Workshop) -> None:
    try:
        await _build(job, workshop)
    except LeaseLost:
        raise
    except asyncio.CancelledError:
        # The process stops; another one need not wait until the lease is over.
        await workshop.jobs.release(job)
        raise
    except OSError as error:
        # The disk is full, or holds something else than it was given: begin again.
        await asyncio.to_thread(workshop.shelf.remove_drafts, job.export.id)
        await workshop.jobs.put_back(job, error)
    except Exception as error:  # whatever it is, the next job must get its turn
        await workshop.jobs.put_back(job, error)


async def _build(job: Job, workshop: Workshop) -> None:
    jobs, shelf, export = workshop.jobs, workshop.shelf, job.export
    if job.attempts > MOST_ATTEMPTS:
        raise TooManyAttempts
    # A crash may have come between the last step of the files and the last of the job.
    if not await asyncio.to_thread(shelf.holds, export.id):
        staff_name = await _frozen_staff_name(job, workshop)
        draft, checkpoint = await asyncio.to_thread(_begun, job, shelf)
        messages = await _write_messages(job, draft, checkpoint, workshop)
        conversations, counts = await _write_conversations(job, draft, staff_name, jobs)
        await jobs.renew(job)
        await asyncio.to_thread(
            write_manifest,
            draft,
            export,
            staff_name=staff_name,
            marks={MESSAGES: messages, CONVERSATIONS: conversations},
            conversations=counts,
            signer=workshop.signer,
        )
        await jobs.renew(job)
        await asyncio.to_thread(shelf.publish, draft)
    await jobs.finish(job)


async def _frozen_staff_name(job: Job, workshop: Workshop) -> str:
    if job.staff_name is not None:
        return job.staff_name
    name = await workshop.directory.staff_name(job.export.clinic_id, job.export.staff_id)
    await workshop.jobs.freeze_staff_name(job, name)
    return name


def _begun(job: Job, shelf: Shelf) -> tuple[Draft, Checkpoint]:
    """A draft with what an earlier attempt left, and where to go on; waits for the disk."""
    draft = shelf.open_draft(job.export.id, job.lease_id)
    start = Checkpoint()
    if job.checkpoint is not None and job.earlier_lease_id is not None:
        mark = job.checkpoint.mark
        if shelf.take_over(draft, job.earlier_lease_id, MESSAGES, mark):
            start = job.checkpoint
    shelf.remove_drafts(job.export.id, but=draft)
    return draft, start


async def _write_messages(job: Job, draft: Draft, start: Checkpoint, workshop: Workshop) -> Mark:
    export = job.export
    with ChainedFile(draft.path(MESSAGES), start.mark) as file:
        if start.all_told:
            return start.mark
        writing = _Writing(job, file, start, workshop)
        async with workshop.conversations.stream(
            export.clinic_id, export.staff_id, cutoff_at=export.cutoff_at, after=start.place
        ) as items:
            async for item in items:
                writing.take(item)
                if writing.is_due():
                    await writing.save()
        return await writing.end()


class _Writing:
    """Messages on their way from the stream into the file, with a checkpoint now and then."""

    def __init__(self, job: Job, file: ChainedFile, start: Checkpoint, workshop: Workshop) -> None:
        self._job = job
        self._file = file
        self._workshop = workshop
        self._walk = Walk(start.place)
        self._conversations = start.conversations
        self._loop = asyncio.get_running_loop()
        self._items = 0
        self._saved_at = self._loop.time()

    def take(self, item: Conversation | Message) -> None:
        self._items += 1
        if isinstance(item, Conversation):
            self._walk.enter(item)
            return
        conversation = self._walk.take(item)
        staff_id = self._job.export.staff_id
        self._file.add(message_record(item, conversation, staff_id=staff_id))

    def is_due(self) -> bool:
        pace = self._workshop.pace
        return self._items >= pace.items or self._loop.time() - self._saved_at >= pace.seconds

    async def end(self) -> Mark:
        self._walk.end()
        return await self.save(all_told=True)

    async def save(self, *, all_told: bool = False) -> Mark:
        """First the file, then the row: what the row says is on the disk."""
        mark = await asyncio.to_thread(self._file.sync)
        told = self._walk.told()
        self._conversations += len(told)
        names = await self._workshop.directory.profile_names(
            self._job.export.clinic_id, [each.conversation.profile_id for each in told]
        )
        checkpoint = Checkpoint(mark, self._walk.place, self._conversations, all_told)
        await self._workshop.jobs.save(self._job, checkpoint, told, names)
        self._items, self._saved_at = 0, self._loop.time()
        return mark


async def _write_conversations(
    job: Job, draft: Draft, staff_name: str, jobs: Jobs
) -> tuple[Mark, Sequence[Counts]]:
    counts: list[Counts] = []
    after: UUID | None = None
    with ChainedFile(draft.path(CONVERSATIONS), Mark()) as file:
        while page := await jobs.told(job, after=after, most=_PAGE):
            for told, profile_name in page:
                file.add(
                    conversation_record(
                        told,
                        staff_id=job.export.staff_id,
                        staff_name=staff_name,
                        profile_name=profile_name,
                    )
                )
                id = str(told.conversation.id)
                counts.append(Counts(id, told.messages, told.tombstones))
            after = page[-1][0].conversation.id
            await jobs.renew(job)
        return await asyncio.to_thread(file.sync), counts
