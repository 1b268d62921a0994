"""Looks for words where they may not be: in files, tables, metrics and mails of a whole stack.

Words are told apart from everything else by being made for the test, of ASCII letters.
"""

import asyncio
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
# The whole row as text; what is binary stands in it as hexadecimal digits.
_HOLDS = sql.SQL("""
select word from unnest(%s::text[]) as word where exists (
    select 1 from {table} as t
    where position(word in lower(t::text)) > 0
       or position(encode(word::bytea, 'hex') in t::text) > 0)
""")


async def places_of_text(stack: Stack, words: Sequence[str]) -> list[str]:
    """Where these words of message texts are in the clear; they may be nowhere."""
    roots = (stack.plan.state.directory, stack.plan.cluster.home)
    in_files = await asyncio.to_thread(lambda: list(_files_with(roots, words)))
    return in_files + await _metrics_with(stack, words) + await _mails_with(stack, words)


async def places_of_names(stack: Stack, words: Sequence[str]) -> list[str]:
    """Where these words of names are, besides the tables that hold names."""
    state = stack.plan.state
    roots = (state.logs, state.nats, state.mailbox, state.pushes)
    in_files = await asyncio.to_thread(lambda: list(_files_with(roots, words)))
    in_tables = [place for service in SERVICES for place in _tables_with(stack, service, words)]
    elsewhere = await _metrics_with(stack, words) + await _mails_with(stack, words)
    return in_files + in_tables + elsewhere


def _files_with(roots: Iterable[Path], words: Sequence[str]) -> Iterator[str]:
    wanted = [word.lower().encode() for word in words]
    for root in roots:
        for file in sorted(root.rglob("*")):
            if not file.is_file():
                continue
            content = file.read_bytes().lower()
            yield from (f"{file}: {word.decode()}" for word in wanted if word in content)


def _tables_with(stack: Stack, service: str, words: Sequence[str]) -> Iterator[str]:
    lowered = [word.lower() for word in words]
    with psycopg.connect(stack.superuser_url(service)) as connection:
        tables = {name for (name,) in connection.execute(_TABLES)}
        for table in sorted(tables - _TABLES_WITH_NAMES[service]):
            query = _HOLDS.format(table=sql.Identifier(table))
            for (word,) in connection.execute(query, [lowered]):
                yield f"{service}.{table}: {word}"


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
