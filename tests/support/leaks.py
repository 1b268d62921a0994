"""Looks for words where they may not be: in files, tables, metrics and mails of a whole stack.

Words are told apart from everything else by being made for the test, of ASCII letters.
"""

import asyncio
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from urllib.request import urlopen

import psycopg
from psycopg import sql

from deploy.local.ports import SERVICES
from deploy.local.stack import Stack
from tests.support.stack import mailbox_of

# Where names and addresses stand in the clear, under row-level security (design section 8).
_TABLES_WITH_NAMES: Mapping[str, frozenset[str]] = {
    "directory": frozenset(
        {"staff_members", "staff_emails", "account_owners", "profiles", "search_terms"}
    ),
    "conversations": frozenset({"replica_staff", "replica_profiles", "search_terms"}),
    "notifications": frozenset(),
    "export": frozenset({"exports", "export_conversations"}),
}
_TABLES = "select tablename from pg_tables where schemaname = 'public' order by tablename"
# The clinic's own name stands in its mails, and nowhere else but where it is kept.
_TABLES_WITH_CLINICS: Mapping[str, frozenset[str]] = {
    service: frozenset({"clinics"} if service == "directory" else ()) for service in SERVICES
}
_NO_TABLES: Mapping[str, frozenset[str]] = {service: frozenset() for service in SERVICES}
# The whole row as text; what is binary stands in it as hexadecimal digits.
_HOLDS = sql.SQL("""
select form from unnest(%s::text[]) as form where exists (
    select 1 from {table} as t where position(form in lower(t::text)) > 0)
""")


async def places_of_text(
    stack: Stack, words: Sequence[str], *, besides: Path | None = None
) -> list[str]:
    """Where these words of message texts are in the clear; they may be nowhere.

    `besides` is where the files of exports are, if such words were exported.
    """
    roots = (stack.plan.state.directory, stack.plan.cluster.home)
    in_files = await asyncio.to_thread(lambda: list(_files_with(roots, words, besides=besides)))
    in_tables = rows_with(stack, forms_of(words))
    elsewhere = await _metrics_with(stack, words) + await _mails_with(stack, words)
    return in_files + in_tables + elsewhere


async def places_of_names(stack: Stack, words: Sequence[str]) -> list[str]:
    """Where these words of names are, besides the tables that hold names."""
    state = stack.plan.state
    roots = (state.logs, state.nats, state.mailbox, state.pushes)
    in_files = await asyncio.to_thread(lambda: list(_files_with(roots, words)))
    in_tables = rows_with(stack, forms_of(words), besides=_TABLES_WITH_NAMES)
    elsewhere = await _metrics_with(stack, words) + await _mails_with(stack, words)
    return in_files + in_tables + elsewhere


async def places_of_addresses(stack: Stack, words: Sequence[str]) -> list[str]:
    """Where these words of addresses are, besides the mails to them and where names are too."""
    return await _outside_mails(stack, words, besides=_TABLES_WITH_NAMES)


async def places_of_clinic_names(stack: Stack, words: Sequence[str]) -> list[str]:
    """Where these words of clinics' names are, besides the mails in their names."""
    return await _outside_mails(stack, words, besides=_TABLES_WITH_CLINICS)


async def _outside_mails(
    stack: Stack, words: Sequence[str], *, besides: Mapping[str, frozenset[str]]
) -> list[str]:
    state = stack.plan.state
    roots = (state.logs, state.nats, state.pushes)
    in_files = await asyncio.to_thread(lambda: list(_files_with(roots, words)))
    in_tables = rows_with(stack, forms_of(words), besides=besides)
    return in_files + in_tables + await _metrics_with(stack, words)


def rows_with(
    stack: Stack, forms: Sequence[str], *, besides: Mapping[str, frozenset[str]] = _NO_TABLES
) -> list[str]:
    """Where these stand in a column of any table of any service, whatever the column's type."""
    return [
        place
        for service in SERVICES
        for place in _tables_with(stack, service, forms, besides[service])
    ]


def forms_of(words: Sequence[str]) -> list[str]:
    """A word as it is, in hexadecimal digits, and in base64 wherever in a text it stands."""
    lowered = [word.lower() for word in words]
    return [
        *lowered,
        *(word.encode().hex() for word in {*words, *lowered}),
        *(form for word in words for form in _in_base64(word)),
    ]


def _in_base64(word: str) -> Iterator[str]:
    for before in range(3):
        encoded = b64encode(bytes(before) + word.encode()).decode().rstrip("=")
        # The first and the last digits depend on what stands beside the word.
        yield encoded[(0, 2, 3)[before] : -1].lower()


def _files_with(
    roots: Iterable[Path], words: Sequence[str], *, besides: Path | None = None
) -> Iterator[str]:
    wanted = [form.encode() for form in forms_of(words)]
    for root in roots:
        for file in sorted(root.rglob("*")):
            if not file.is_file() or besides in file.parents:
                continue
            content = file.read_bytes().lower()
            yield from (f"{file}: {word.decode()}" for word in wanted if word in content)


def _tables_with(
    stack: Stack, service: str, forms: Sequence[str], besides: frozenset[str]
) -> Iterator[str]:
    with psycopg.connect(stack.superuser_url(service)) as connection:
        tables = {name for (name,) in connection.execute(_TABLES)}
        assert besides <= tables
        for table in sorted(tables - besides):
            query = _HOLDS.format(table=sql.Identifier(table))
            for (form,) in connection.execute(query, [list(forms)]):
                yield f"{service}.{table}: {form}"


async def _metrics_with(stack: Stack, words: Sequence[str]) -> list[str]:
    found = []
    for service in SERVICES:
        page = await asyncio.to_thread(_page, f"{stack.http_url(service)}/metrics")
        found += [f"metrics of {service}: {word}" for word in words if word.lower() in page]
    return found


def _page(url: str) -> str:
    with urlopen(url, timeout=10) as response:
        content: bytes = response.read()
        return content.decode().lower()


async def _mails_with(stack: Stack, words: Sequence[str]) -> list[str]:
    """In the mails as a reader sees them; in their source a text may be encoded."""
    mails = await mailbox_of(stack).mails()
    shown = [
        "\n".join((mail["subject"], mail["text"], mail["html"], *mail["headers"].values()))
        for mail in mails
    ]
    return [
        f"mail {mail['id']}: {word}"
        for mail, text in zip(mails, shown, strict=True)
        for word in words
        if word.lower() in text.lower()
    ]
