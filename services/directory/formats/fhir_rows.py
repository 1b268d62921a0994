"""FHIR R4 in Bulk Data form: one resource a line, of people who exist in the flesh."""

import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping

from services.directory.domain.importing import (
    PersonRow,
    Row,
    RowError,
    RowReason,
    RowRefused,
    Skipped,
    checked_external_id,
)
from services.directory.domain.profile import ProfileChanges, ProfileKind
from services.directory.domain.staff_member import AccessLevel, StaffChanges, StaffKind
from services.directory.formats.lines import Record, records

Resource = Mapping[str, object]

_PROFILE_KINDS = {"Patient": ProfileKind.PATIENT, "RelatedPerson": ProfileKind.CONTACT}
_FIELDS = {
    "display_name": "name",
    "preferred_name": "name",
    "email": "telecom",
    "phone": "telecom",
    "birth_date": "birthDate",
}
# The name to use comes first; former names are nobody's name now.
_NAME_USES = ("official", "usual", "", "temp")
_PARTIAL_DATE = re.compile(r"[0-9]{4}(-[0-9]{2})?")
_PATIENT = re.compile(r"(?:.*/)?Patient/([A-Za-z0-9\-.]{1,64})(?:/_history/.*)?|urn:uuid:(.+)")
_SYSTEMS = {"email": ("email",), "phone": ("phone", "sms")}


async def fhir_rows(chunks: AsyncIterator[bytes]) -> AsyncIterator[Row]:
    """Every resource in order."""
    async for record in records(chunks):
        try:
            yield _row(record)
        except RowRefused as refused:
            yield RowError(record.line, refused.field, refused.reason)


def _row(record: Record) -> Row:
    resource = _resource(record)
    match resource.get("resourceType"):
        case "Patient":
            return _profile(record.line, resource, "Patient")
        case "RelatedPerson":
            return _profile(record.line, resource, "RelatedPerson")
        case "Practitioner":
            return _staff(record.line, resource)
        case str():
            return Skipped(record.line)
    raise RowRefused(RowReason.MALFORMED, "resourceType")


def _resource(record: Record) -> Resource:
    if record.content is None:
        raise RowRefused(RowReason.TOO_LONG)
    try:
        resource = json.loads(record.content.decode())
    except (ValueError, RecursionError):
        raise RowRefused(RowReason.MALFORMED) from None
    if not isinstance(resource, dict):
        raise RowRefused(RowReason.MALFORMED)
    return resource


def _profile(line: int, resource: Resource, type: str) -> Row:
    id = checked_external_id(_text(resource, "id"), field="id")
    replaced_by = _replaced_by(resource, id) if type == "Patient" else ""
    inactive = _is_inactive(resource)
    if inactive and not replaced_by:
        return Skipped(line)
    return PersonRow(
        line=line,
        # Ids are unique within a type only; patients have theirs in common with other formats.
        external_id=id if type == "Patient" else f"{type}/{id}",
        person=ProfileChanges(
            display_name=_display_name(resource),
            preferred_name=_nickname(resource),
            email=_telecom(resource, "email"),
            phone=_telecom(resource, "phone"),
            birth_date=_birth_date(resource),
        ),
        fields=_FIELDS,
        kind_if_new=_PROFILE_KINDS[type],
        replaced_by=replaced_by,
        inactive=inactive,
    )


def _staff(line: int, resource: Resource) -> Row:
    id = checked_external_id(_text(resource, "id"), field="id")
    if _is_inactive(resource):
        return Skipped(line)
    changes = StaffChanges(
        kind=StaffKind.PRACTITIONER,
        access_level=AccessLevel.LIMITED,
        display_name=_display_name(resource, titled=True),
        email=_telecom(resource, "email"),
    )
    return PersonRow(line=line, external_id=f"Practitioner/{id}", person=changes, fields=_FIELDS)


def _is_inactive(resource: Resource) -> bool:
    """Out of use, or deceased: nobody to write to."""
    return (
        resource.get("active") is False
        or resource.get("deceasedBoolean") is True
        or isinstance(resource.get("deceasedDateTime"), str)
    )


def _replaced_by(resource: Resource, id: str) -> str:
    """The id of the Patient to use in this one's place, or nothing."""
    for link in _elements(resource, "link"):
        if link.get("type") != "replaced-by":
            continue
        other = link.get("other")
        reference = _text(other, "reference") if isinstance(other, dict) else ""
        found = _PATIENT.fullmatch(reference)
        target = (found[1] or found[2]) if found else ""
        if not target or target == id:
            raise RowRefused(RowReason.LINK_INVALID, "link")
        return target
    return ""


def _display_name(resource: Resource, *, titled: bool = False) -> str | None:
    """The name in use, None where there is none; staff are called with their title."""
    names = [name for name in _elements(resource, "name") if _use(name) in _NAME_USES]
    if not names:
        return None
    name = min(names, key=lambda name: _NAME_USES.index(_use(name)))
    if written := _text(name, "text"):
        return written
    parts = [*_texts(name, "given"), _text(name, "family"), *_texts(name, "suffix")]
    return " ".join([*(_texts(name, "prefix") if titled else ()), *parts]).strip()


def _nickname(resource: Resource) -> str | None:
    for name in _elements(resource, "name"):
        if _use(name) == "nickname":
            return _text(name, "text") or " ".join(_texts(name, "given")) or None
    return None


def _telecom(resource: Resource, kind: str) -> str | None:
    """The value of the first rank that is still in use."""
    points = [
        point
        for point in _elements(resource, "telecom")
        if point.get("system") in _SYSTEMS[kind] and _use(point) != "old" and _text(point, "value")
    ]
    return _text(min(points, key=_rank), "value") if points else None


def _rank(point: Resource) -> int:
    rank = point.get("rank")
    return rank if isinstance(rank, int) and rank > 0 else 1_000


def _birth_date(resource: Resource) -> str | None:
    """A year or a month is no day, and as good as none."""
    text = _text(resource, "birthDate")
    return None if not text or _PARTIAL_DATE.fullmatch(text) else text


def _use(element: Resource) -> str:
    return _text(element, "use")


def _text(element: Resource, name: str) -> str:
    value = element.get(name)
    return value if isinstance(value, str) else ""


def _texts(element: Resource, name: str) -> list[str]:
    value = element.get(name)
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def _elements(resource: Resource, name: str) -> Iterator[Resource]:
    value = resource.get(name)
    for each in value if isinstance(value, list) else ():
        if isinstance(each, dict):
            yield each
