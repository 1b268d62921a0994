"""Every RPC by every kind of caller about every kind of object, as `table.csv` says
(R2, R8, R18, R32, R33, R35 to R37, R42, R43, R49, R53 to R55, P8, P10; ASVS 8.2.1 to 8.2.3, 8.4.1).

A caller who may never call an RPC is refused before the request is read, so that is asked about
the first and the last object only; with ACCESS_EVERY_CELL=1 about each.
"""

import asyncio
import os
from collections import defaultdict
from dataclasses import dataclass
from uuid import uuid4

import grpc
import pytest
from google.protobuf.message import Message
from joserfc.jwk import OKPKey

from clinic.conversations.v1 import conversations_internal_service_pb2 as conversations_internal
from clinic.conversations.v1 import conversations_service_pb2 as conversations
from tests.access import table
from tests.access.requests import Asking, request
from tests.support.grpc_world import bearer, signed
from tests.support.rpcs import Answer, Rpc, call, rpc, rpcs
from tests.support.two_clinics import Machine, Person

pytestmark = pytest.mark.xdist_group("two clinics")

_AT_ONCE = 6
_EVERY_CELL = os.environ.get("ACCESS_EVERY_CELL") == "1"
# What a refused call must not have touched; what runs in the background is left out.
_TABLES = {
    "directory": (
        "clinics",
        "clinic_settings",
        "staff_members",
        "staff_emails",
        "account_owners",
        "profiles",
        "merges",
        "sessions",
        "search_terms",
        "source_identifiers",
        "requests",
    ),
    "conversations": ("conversations", "messages", "read_marks", "data_keys", "requests"),
    "notifications": ("devices", "suppressions", "requests"),
    "export": ("requests",),
}
# Whose texts a caller may get to see: threads of the near clinic, and "far live" of the other.
_MAY_READ = {
    "participant": {"live", "others", "contacts", "duals", "merged"},
    "patient": {"live", "left"},
    "other": {"others"},
    "contact": {"contacts"},
    "dual_patient": {"duals"},
    "far_patient": {"far live"},
}
# The only two ways by which text leaves but for its participants (R32, R45).
_EXPORTS = {"conversations.internal.StreamMessages", "export.internal.DownloadExport"}


@dataclass
class Cell:
    row: table.Row
    column: str
    asking: Asking
    request: bytes | list[bytes] = b""
    caller: Person | None = None
    answer: Answer | None = None

    @property
    def mark(self) -> table.Mark:
        return table.marks()[self.row.marks[self.column]]

    @property
    def wanted(self) -> tuple[grpc.StatusCode, str]:
        mark = self.mark
        return mark.code, self.row.none_is if mark.name == "none" else mark.reason

    async def build(self) -> None:
        """The request, and whose token comes with it: the caller's unless it brings another."""
        built = await request(self.asking)
        if isinstance(built, tuple):
            built, self.caller = built
        if isinstance(built, list):
            self.request = [part.SerializeToString() for part in built]
        else:
            self.request = built.SerializeToString()

    async def ask(self) -> None:
        rpc, suite = self.asking.rpc, self.asking.clinics.suite
        door = suite.door(rpc.service, public=rpc.public)
        caller = self.caller or self.asking.caller
        metadata = () if caller is None else caller.metadata
        if self.column == "forged":
            metadata = _forged(self.asking)
        self.answer = await call(door, rpc, self.request, metadata=metadata)

    def complaints(self) -> list[str]:
        assert self.answer is not None
        code, reason = self.wanted
        where = f"{self.row.rpc} ({self.row.object}) by {self.column}"
        found = (self.answer.code, self.answer.reason)
        if found != (code, reason):
            return [f"{where}: {found[0].name} {found[1]}, not {code.name} {reason}"]
        complaints = [f"{where}: tells of {word}" for word in self.leaks()]
        if self.mark.code is grpc.StatusCode.OK and not self.as_marked():
            complaints.append(f"{where}: OK, and not {self.mark.name}")
        return complaints

    def as_marked(self) -> bool:
        """Does an OK say what its mark says?"""
        assert self.answer is not None
        bodies = [self.asking.rpc.response.FromString(body) for body in self.answer.responses]
        match self.mark.name:
            case "empty":
                return not any(_has_items(body) for body in bodies)
            case "left_out":
                return not any(_has_items(body) for body in bodies)
            case "zero":
                [body] = bodies
                assert isinstance(body, conversations_internal.BatchGetUnreadResponse)
                return [each.unread_messages for each in body.unread] == [0]
            case "wrong" | "away" | "ok" if self.row.rpc == "conversations.ResolveLink":
                [body] = bodies
                assert isinstance(body, conversations.ResolveLinkResponse)
                return body.outcome == _OUTCOMES[self.mark.name]
        return True

    def leaks(self) -> list[str]:
        """Words and ids in the answer that are not for this caller."""
        assert self.answer is not None
        everything = self.answer.everything
        near, far = self.asking.clinics.near, self.asking.clinics.far
        own = self.asking.own_clinic
        hidden = [clinic for clinic in (near, far) if clinic is not own]
        asked = self.request if isinstance(self.request, bytes) else b"".join(self.request)
        words = [clinic.word for clinic in hidden if clinic.word.encode() not in asked]
        if isinstance(self.asking.caller, Person):
            ids = {id for clinic in hidden for id in _ids_of(clinic)}
            words += [id for id in ids if id.encode() not in asked]
        words += [
            clinic.text_of(thread)
            for clinic, prefix in ((near, ""), (far, "far "))
            for thread in clinic.threads
            if f"{prefix}{thread}" not in self.may_read()
        ]
        return [word for word in words if word.encode() in everything]

    def may_read(self) -> set[str]:
        near, far = self.asking.clinics.near, self.asking.clinics.far
        if self.row.rpc in _EXPORTS:
            if self.asking.own_clinic is near:
                return set(near.threads)
            return {f"far {thread}" for thread in far.threads}
        return _MAY_READ.get(self.column, set())


_OUTCOMES = {
    "ok": conversations.ResolveLinkResponse.OUTCOME_OK,
    "wrong": conversations.ResolveLinkResponse.OUTCOME_WRONG_PROFILE,
    "away": conversations.ResolveLinkResponse.OUTCOME_PROFILE_MERGED,
}


def _has_items(body: Message) -> bool:
    """Does a response hold an item of a list, or is it one of a stream?"""
    repeated = [field for field in body.DESCRIPTOR.fields if field.is_repeated]
    if not repeated:
        return True
    return any(len(getattr(body, field.name)) for field in repeated)


def _ids_of(clinic):
    return {
        clinic.id,
        *(person.id for person in clinic.people.values()),
        *(person.session_id for person in clinic.people.values()),
        *clinic.threads.values(),
        *clinic.merges.values(),
        *clinic.exports.values(),
        *clinic.deliveries,
    }


def _forged(asking):
    """The owner's claims under the issuer's name, signed by somebody else."""
    owner, keys = asking.clinics.near.people["owner"], asking.clinics.suite.keys
    claims = keys.person_claims(
        acting=f"staff:{owner.id}", clinic_id=owner.clinic_id, sid=owner.session_id
    )
    return bearer(signed(claims, OKPKey.generate_key("Ed25519", {"kid": keys.ed25519.kid})))


def _caller(clinics, rpc: Rpc, column: str):
    near, far = clinics.near, clinics.far
    some_machine = (*rpc.machines, "ops:support")[0]
    match column:
        case "nobody" | "forged":
            return None
        case "far_owner" | "far_patient":
            return far.people[column.removeprefix("far_")]
        case "directory" | "conversations" | "notifications" | "export":
            return near.machine(f"service:{column}")
        case "platform":
            return near.machine("platform:gateway")
        case "ops":
            return near.machine("ops:support")
        case "elsewhere":
            return far.machine(some_machine)
        case "nowhere":
            return Machine(clinics.suite, some_machine, None)
        case "void":
            return Machine(clinics.suite, some_machine, str(uuid4()))
    return near.people[column]


def test_every_rpc_of_the_contract_has_a_row():
    assert table.names_without_row() == set()


def test_the_table_speaks_of_nothing_else():
    assert {row.rpc for row in table.rows()} <= {rpc.name for rpc in rpcs()}


def test_every_cell_is_filled_with_a_mark_that_is_explained():
    unknown = {
        (row.rpc, row.object, mark)
        for row in table.rows()
        for mark in row.marks.values()
        if mark not in table.marks()
    }
    assert unknown == set()
    assert all(row.none_is for row in table.rows() if "none" in row.marks.values())


@pytest.mark.parametrize("name", sorted({row.rpc for row in table.rows()}))
async def test_the_answers_are_those_of_the_table(two_clinics, name):
    asked = rpc(name)
    cells = [
        Cell(row, column, Asking(two_clinics, asked, column, caller, row.object))
        for row in table.rows_of(name)
        for column in _columns(row)
        for caller in [_caller(two_clinics, asked, column)]
    ]
    _make_young(two_clinics.near)
    refused = [cell for cell in cells if cell.mark.code is not grpc.StatusCode.OK]

    await _build_alike(refused)
    before = _everything_stored(two_clinics.near, asked.service)
    await _each(cell.ask() for cell in refused)
    after = _everything_stored(two_clinics.near, asked.service)
    for cell in cells:
        if cell.mark.code is grpc.StatusCode.OK:
            await cell.build()
            await cell.ask()
            await _undo(cell)

    assert [complaint for cell in cells for complaint in cell.complaints()] == []
    assert before == after
    assert _kinds_of_not_found(cells) == []


def _columns(row):
    """Whom to ask about a row."""
    rows = table.rows_of(row.rpc)
    all_of_them = _EVERY_CELL or row in (rows[0], rows[-1])
    return [column for column, mark in row.marks.items() if all_of_them or mark not in (".", "who")]


async def _build_alike(cells):
    """All that are refused ask the same of a row."""
    requests = {}
    for cell in cells:
        if cell.row.object not in requests:
            await cell.build()
            requests[cell.row.object] = cell.request
        cell.request = requests[cell.row.object]


async def _each(coroutines):
    """A few at a time."""
    places = asyncio.Semaphore(_AT_ONCE)

    async def placed(coroutine):
        async with places:
            await coroutine

    await asyncio.gather(*map(placed, coroutines))


def _make_young(clinic):
    """Messages within the time in which they can be deleted, however slow the machine."""
    clinic.suite.rows("conversations", "update messages set sent_at = now()")


async def _undo(cell):
    """The owner stays the owner for those who come after."""
    if cell.row.rpc == "directory.TransferOwnership" and cell.row.object == "colleague":
        near = cell.asking.clinics.near
        back = cell.asking.rpc.request(staff_id=near.people["owner"].id, request_id=str(uuid4()))
        await near.call(near.people["colleague"], cell.row.rpc, back)


def _everything_stored(clinic, service):
    query = "select coalesce(md5(string_agg(t::text, ',' order by t::text)), '') from {} as t"
    return {name: clinic.suite.rows(service, query.format(name)) for name in _TABLES[service]}


def _kinds_of_not_found(cells):
    """What is absent and what is not the caller's answer alike, but for the id that was asked."""
    kinds = defaultdict(set)
    for cell in cells:
        if cell.mark.name == "none":
            assert cell.answer is not None
            kinds[cell.column, cell.row.none_is].add(_without_ids(cell))
    return [(*key, *answers) for key, answers in kinds.items() if len(answers) > 1]


def _without_ids(cell):
    """The answer to the last byte, with the ids of the request taken out."""
    everything = cell.answer.everything
    for id in _texts_of(cell.asking.rpc, cell.request):
        everything = everything.replace(id.encode(), b"<asked>")
    return everything


def _texts_of(rpc, data):
    message = rpc.request.FromString(data)
    for _, value in message.ListFields():
        values = [value] if isinstance(value, str) else value
        if isinstance(values, list) or hasattr(values, "__len__"):
            yield from (each for each in values if isinstance(each, str) and len(each) == 36)
