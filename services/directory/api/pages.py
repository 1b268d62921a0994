"""Where the pages of lists end, as cursors that page tokens seal."""

from datetime import UTC, datetime
from uuid import UUID

from services.chassis.paging import Cursor


def from_moment(place: tuple[datetime, UUID]) -> Cursor:
    return place[0].isoformat(), str(place[1])


def to_moment(cursor: Cursor) -> tuple[datetime, UUID]:
    at, id = cursor
    return datetime.fromisoformat(str(at)).astimezone(UTC), UUID(str(id))


def from_name(place: tuple[str, UUID]) -> Cursor:
    return place[0], str(place[1])


def to_name(cursor: Cursor | None) -> tuple[str, UUID] | None:
    if cursor is None:
        return None
    name, id = cursor
    return str(name), UUID(str(id))


def from_score(place: tuple[int, UUID]) -> Cursor:
    return place[0], str(place[1])


def to_score(cursor: Cursor | None) -> tuple[int, UUID] | None:
    if cursor is None:
        return None
    score, id = cursor
    return int(score), UUID(str(id))


def to_id(cursor: Cursor | None) -> UUID | None:
    return None if cursor is None else UUID(str(cursor[0]))
