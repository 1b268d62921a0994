"""Those who come and go under way: a patient who is merged, a practitioner who leaves."""

import time
from typing import Protocol, TypeVar

import grpc
from google.protobuf.message import Message

from clinic.directory.v1 import directory_service_pb2 as pb
from services.chassis.ids import uuid7
from services.cli.failures import Refused
from services.cli.suite import Suite
from tests.faults.book import Book, Closed, Thread
from tests.support.suite import Member

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)

PATIENCE_SECONDS = 40.0
_WORTH_A_REPEAT = frozenset({"UNAVAILABLE", "ABORTED", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED"})


async def insist(
    member: Member,
    method: grpc.aio.UnaryUnaryMultiCallable[Request, Response],
    request: Request,
) -> Response:
    """The same request again and again until it is answered: granted, or refused for good."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return await member.call(method, request)
        except Refused as refused:
            if refused.code not in _WORTH_A_REPEAT or time.monotonic() > deadline:
                raise


class Change(Protocol):
    """What somebody with full access does to one person, and undoes."""

    async def away(self) -> bool:
        """Whether it was confirmed to be in force when the call returned."""
        ...

    async def back(self) -> None: ...


class Merge:
    def __init__(self, suite: Suite, owner: Member, *, secondary: Member, primary: Member) -> None:
        self._directory = suite.directory
        self._owner = owner
        self._profiles = {
            "primary_profile_id": primary.id,
            "secondary_profile_id": secondary.id,
        }
        self._merge_id = ""

    async def away(self) -> bool:
        request = pb.MergeProfilesRequest(**self._profiles, request_id=str(uuid7()))
        answer = await insist(self._owner, self._directory.MergeProfiles, request)
        self._merge_id = answer.merge.merge_id
        return answer.applied

    async def back(self) -> None:
        request = pb.UnmergeProfilesRequest(merge_id=self._merge_id, request_id=str(uuid7()))
        await insist(self._owner, self._directory.UnmergeProfiles, request)


class Departure:
    def __init__(self, suite: Suite, owner: Member, staff: Member) -> None:
        self._directory = suite.directory
        self._owner = owner
        self._staff_id = staff.id

    async def away(self) -> bool:
        request = pb.DeactivateStaffMemberRequest(staff_id=self._staff_id, request_id=str(uuid7()))
        answer = await insist(self._owner, self._directory.DeactivateStaffMember, request)
        return answer.applied

    async def back(self) -> None:
        request = pb.ReactivateStaffMemberRequest(staff_id=self._staff_id, request_id=str(uuid7()))
        await insist(self._owner, self._directory.ReactivateStaffMember, request)


class Mover:
    """Keeps in the book when the thread of this person was closed for certain."""

    def __init__(self, change: Change, thread: Thread, book: Book) -> None:
        self.thread = thread
        self._change = change
        self._book = book
        self._is_away = False
        self._closed_since: float | None = None

    async def move(self) -> None:
        """Away, or back again."""
        if self._is_away:
            await self.come_back()
            return
        applied = await self._change.away()
        self._is_away = True
        self._closed_since = time.monotonic() if applied else None

    async def come_back(self) -> None:
        if not self._is_away:
            return
        if self._closed_since is not None:
            closed = Closed(self.thread, self._closed_since, time.monotonic())
            self._book.closed.append(closed)
        await self._change.back()
        self._is_away = False
