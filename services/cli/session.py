"""What every command is given: the suite, the desk where people sign in, and the demo clinic."""

import json
import os
from argparse import Namespace
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict
from functools import cached_property
from typing import TypeAlias

from services.cli.demo_clinic import DemoClinic
from services.cli.failures import Failed
from services.cli.output import Told
from services.cli.places import find
from services.cli.sessions import Desk, Person, Side, parse_person
from services.cli.suite import Caller, Suite

Run: TypeAlias = "Callable[[Session, Namespace], Awaitable[Told]]"


class Session:
    """One run of the command. The suite is looked for when it is first needed."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.places = find(environ)
        self._environ = environ
        self._suite: Suite | None = None

    @property
    def suite(self) -> Suite:
        if self._suite is None:
            self._suite = Suite(self.places)
        return self._suite

    @cached_property
    def desk(self) -> Desk:
        return Desk(self.suite)

    async def close(self) -> None:
        if self._suite is not None:
            await self._suite.close()

    def remembered(self) -> DemoClinic | None:
        """The demo clinic, if one was made here."""
        try:
            return DemoClinic(**json.loads(self.places.memory.read_text()))
        except FileNotFoundError:
            return None

    def remember(self, demo: DemoClinic) -> None:
        self.places.memory.write_text(json.dumps(asdict(demo), indent=2))

    def clinic_of(self, arguments: Namespace) -> str:
        """--clinic, else CLINIC_ID, else the demo clinic. Raises Failed."""
        named: str | None = arguments.clinic or self._environ.get("CLINIC_ID")
        if named:
            return named
        if (demo := self.remembered()) is None:
            raise Failed(
                "Say which clinic: --clinic ID, or CLINIC_ID in the environment. "
                "`clinic demo-clinic` makes one to try."
            )
        return demo.clinic_id

    def person_of(self, arguments: Namespace) -> Person:
        """Whom --as, --staff or --profile name. Raises Failed."""
        if arguments.staff:
            return parse_person(f"{Side.STAFF}:{arguments.staff}")
        if arguments.profile:
            return parse_person(f"{Side.PROFILE}:{arguments.profile}")
        demo = self.remembered()
        known: Mapping[str, str] = {} if demo is None else demo.people
        if arguments.who is None:
            names = f" The demo clinic has {', '.join(known)}." if known else ""
            raise Failed(f"Say who acts: --as staff:<id> or --as profile:<id>.{names}")
        return parse_person(known.get(arguments.who, arguments.who))

    @asynccontextmanager
    async def caller(self, arguments: Namespace) -> AsyncIterator[Caller]:
        """Who the command acts for: the owner of a token, or somebody signed in for it."""
        token = arguments.token or self._environ.get("CLINIC_TOKEN")
        if token and not (arguments.who or arguments.staff or arguments.profile):
            yield self.desk.bearer(token)
            return
        person, clinic_id = self.person_of(arguments), self.clinic_of(arguments)
        async with self.desk.signed_in(person, clinic_id=clinic_id) as caller:
            yield caller


@asynccontextmanager
async def opened() -> AsyncIterator[Session]:
    """The session of a process, by its environment."""
    session = Session(os.environ)
    try:
        yield session
    finally:
        await session.close()
