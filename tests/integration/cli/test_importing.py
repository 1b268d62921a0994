"""A refusal of an import reaches whoever typed the command, also one that the client lost."""

from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from clinic.directory.v1 import directory_internal_service_pb2 as pb
from services.cli.commands.importing import import_file
from services.cli.failures import LOST_BY_CLIENT, Refused
from services.cli.suite import Caller

HEADER = pb.ImportProfilesRequest.Header(source_system="ehr", request_id="r")
SUMMARY = pb.ImportProfilesResponse(summary={"created": 1})


class Ending:
    """A call as grpc.aio gives it to its caller, once all of the requests are read."""

    def __init__(self, requests, last):
        self.requests = requests
        self.last = last
        self.sent = []

    async def __aiter__(self):
        self.sent = [request async for request in self.requests]
        if isinstance(self.last, str):
            nothing = grpc.aio.Metadata()
            raise grpc.aio.AioRpcError(grpc.StatusCode.UNKNOWN, nothing, nothing, self.last)
        yield self.last

    def cancel(self):
        pass


class Library:
    """Stands where grpc.aio stands: each call ends as it was told."""

    def __init__(self, *endings):
        self.endings = list(endings)
        self.calls = []

    def ImportProfiles(self, requests, metadata):
        self.calls.append(Ending(requests, self.endings.pop(0)))
        return self.calls[-1]


async def imported_over(library):
    suite: Any = SimpleNamespace(directory_internal=library)
    caller = Caller("x", lambda: "token")
    return await import_file(suite, caller, header=HEADER, read=lambda: iter([b"a", b"b"]))


async def test_a_refusal_that_was_lost_is_asked_for_once_more_with_all_of_the_file():
    library = Library(LOST_BY_CLIENT, "there is no such clinic")

    with pytest.raises(Refused, match="there is no such clinic"):
        await imported_over(library)

    first, second = (call.sent for call in library.calls)
    assert first == second
    assert [request.chunk for request in second[1:]] == [b"a", b"b"]


async def test_an_import_that_succeeds_the_second_time_has_succeeded():
    assert (await imported_over(Library(LOST_BY_CLIENT, SUMMARY))).summary.created == 1


@pytest.mark.parametrize(
    "endings", [(LOST_BY_CLIENT, LOST_BY_CLIENT), ("there is no such clinic",)], ids=["lost", "no"]
)
async def test_what_was_lost_twice_or_not_at_all_is_told_as_it_came(endings):
    library = Library(*endings)

    with pytest.raises(Refused, match=endings[-1]):
        await imported_over(library)

    assert library.endings == []
