"""Who is calling: the acting profile of a person, or a machine (design section 7)."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from services.chassis.errors import ClinicRequired


class Role(StrEnum):
    STAFF = "staff"
    PATIENT = "profile"  # patient or contact: the patient side
    SERVICE = "service"
    PLATFORM = "platform"
    OPS = "ops"


@dataclass(frozen=True, slots=True)
class Caller:
    """A verified identity.

    A person always has a clinic, an acting profile (`person_id`) and a session. A machine has a
    name, and a clinic only where it named one in `clinic-id` metadata. The same human as staff
    and as patient is two callers (R37).
    """

    role: Role
    name: str
    clinic_id: UUID | None
    expires_at: datetime
    person_id: UUID | None = None
    session_id: UUID | None = None

    @property
    def actor(self) -> str:
        """`staff:<id>`, `profile:<id>`, `service:<name>`, `platform:<name>` or `ops:<name>`."""
        return f"{self.role}:{self.name}"

    @property
    def is_person(self) -> bool:
        return self.role in (Role.STAFF, Role.PATIENT)

    @property
    def clinic(self) -> UUID:
        """The clinic that is called for. Raises ClinicRequired where a machine named none."""
        if self.clinic_id is None:
            raise ClinicRequired("name the clinic in clinic-id metadata")
        return self.clinic_id

    @property
    def person(self) -> UUID:
        """The acting profile of a caller that was checked to be a person."""
        assert self.person_id is not None
        return self.person_id


_caller: ContextVar[Caller] = ContextVar("caller")


def current_caller() -> Caller:
    """The caller of the RPC being served."""
    return _caller.get()


@contextmanager
def calling(caller: Caller) -> Iterator[None]:
    token = _caller.set(caller)
    try:
        yield
    finally:
        _caller.reset(token)
