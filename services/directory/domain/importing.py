"""A row of another system's file, and what became of it."""

from dataclasses import dataclass
from enum import StrEnum

from services.directory.domain.profile import ProfileChanges, ProfileKind
from services.directory.domain.staff_member import StaffChanges

MOST_EXTERNAL_ID = 200


class RowReason(StrEnum):
    """Why a row was left out."""

    MALFORMED = "MALFORMED"
    TOO_LONG = "TOO_LONG"
    EXTERNAL_ID_INVALID = "EXTERNAL_ID_INVALID"
    NAME_INVALID = "NAME_INVALID"
    EMAIL_INVALID = "EMAIL_INVALID"
    PHONE_INVALID = "PHONE_INVALID"
    BIRTH_DATE_INVALID = "BIRTH_DATE_INVALID"
    KIND_INVALID = "KIND_INVALID"
    FLAG_INVALID = "FLAG_INVALID"
    LINK_INVALID = "LINK_INVALID"


class RowRefused(Exception):
    """This row cannot be taken; the others go on. `field` is the column or element, if it is one;
    its content is never told."""

    def __init__(self, reason: RowReason, field: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.field = field


@dataclass(frozen=True, slots=True)
class RowError:
    """A row that was left out; `line` is where it begins in the file, from 1."""

    line: int
    field: str
    reason: RowReason


@dataclass(frozen=True, slots=True)
class Skipped:
    """A row with nothing to take."""

    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonRow:
    """A row that says who somebody is. `person` has the changes of a profile or of a staff member.

    `fields` says what the file calls the attributes; `replaced_by` is the external id of the
    profile to use in this one's place. People may have turned a contact into a patient since it
    was imported, so that `kind_if_new` does not change who is known.
    """

    line: int
    external_id: str
    person: ProfileChanges | StaffChanges
    fields: dict[str, str]
    kind_if_new: ProfileKind | None = None
    replaced_by: str = ""
    inactive: bool = False


Row = PersonRow | Skipped | RowError

_REASONS = {
    "external_id": RowReason.EXTERNAL_ID_INVALID,
    "display_name": RowReason.NAME_INVALID,
    "preferred_name": RowReason.NAME_INVALID,
    "email": RowReason.EMAIL_INVALID,
    "phone": RowReason.PHONE_INVALID,
    "birth_date": RowReason.BIRTH_DATE_INVALID,
}


def error_of(row: PersonRow, field: str) -> RowError:
    """What is told of a row whose value of this field cannot be."""
    name = field.rpartition(".")[2]
    reason = _REASONS.get(name, RowReason.MALFORMED)
    return RowError(row.line, row.fields.get(name, ""), reason)


def checked_external_id(text: str, *, field: str) -> str:
    """Raises RowRefused for none, one that is too long and one with control characters."""
    external_id = text.strip()
    if not (0 < len(external_id) <= MOST_EXTERNAL_ID and external_id.isprintable()):
        raise RowRefused(RowReason.EXTERNAL_ID_INVALID, field)
    return external_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How it went; the first five add up to the rows."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    skipped: int = 0
    failed: int = 0
    merged: int = 0
    unmerged: int = 0

    @property
    def rows(self) -> int:
        return self.created + self.updated + self.unchanged + self.skipped + self.failed

    def plus(self, other: "Counts") -> "Counts":
        names = self.__dataclass_fields__
        return Counts(**{name: getattr(self, name) + getattr(other, name) for name in names})
