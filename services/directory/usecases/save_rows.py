"""A batch of an import's rows, saved in one transaction."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from services.chassis.errors import InvalidArgument
from services.chassis.identity import Caller
from services.chassis.ids import uuid7
from services.directory.domain.importing import (
    Counts,
    PersonRow,
    Row,
    RowError,
    Skipped,
    error_of,
)
from services.directory.domain.profile import (
    Profile,
    ProfileChanges,
    changed_profile,
    new_profile,
)
from services.directory.domain.staff_member import StaffChanges, StaffMember, new_staff_member
from services.directory.storage.unit_of_work import Transaction
from services.directory.usecases.access import access_clinic


@dataclass(frozen=True, slots=True, kw_only=True)
class SaveRows:
    caller: Caller
    source_system: str
    rows: Sequence[Row]


@dataclass(frozen=True, slots=True)
class Saved:
    """Which rows were left out, in order, and what became of the others."""

    errors: Sequence[RowError]
    counts: Counts


async def save_rows(tx: Transaction, command: SaveRows) -> Saved:
    """Who is new is created, who is known is changed where the row differs."""
    clinic = await access_clinic(tx)
    people = [row for row in command.rows if isinstance(row, PersonRow)]
    known = await tx.imports.known(command.source_system, [row.external_id for row in people])
    profiles = await tx.imports.lock_profiles(known.values())
    batch = _Batch(clinic_id=clinic.id, now=tx.now, known=known, profiles=profiles)
    for row in command.rows:
        batch.take(row)
    await _save(tx, command.source_system, batch)
    return Saved(batch.errors, batch.counts)


@dataclass(slots=True, kw_only=True)
class _Batch:
    """What the rows come to, before any of it is saved."""

    clinic_id: UUID
    now: datetime
    known: Mapping[str, UUID]
    profiles: Mapping[UUID, Profile]
    created: list[Profile] = field(default_factory=list)
    changed: list[tuple[Profile, Profile]] = field(default_factory=list)
    staff: list[StaffMember] = field(default_factory=list)
    new_ids: dict[str, UUID] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    errors: list[RowError] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)

    @property
    def counts(self) -> Counts:
        return Counts(**self.done, failed=len(self.errors))

    def take(self, row: Row) -> None:
        match row:
            case RowError():
                self.errors.append(row)
            case Skipped():
                self.done["skipped"] += 1
            case PersonRow():
                try:
                    self.done[self._take_person(row)] += 1
                except InvalidArgument as refused:
                    self.errors.append(error_of(row, refused.field))

    def _take_person(self, row: PersonRow) -> str:
        """What became of it, as it is counted."""
        id = self.known.get(row.external_id)
        if isinstance(row.person, StaffChanges):
            return self._new_staff(row, row.person) if id is None else "unchanged"
        if id is None and row.inactive:
            return "skipped"
        outcome = "skipped" if row.inactive else self._take_profile(row, row.person, id)
        if row.replaced_by:
            self.links[row.external_id] = row.replaced_by
        return outcome

    def _take_profile(self, row: PersonRow, changes: ProfileChanges, id: UUID | None) -> str:
        if id is None:
            return self._new_profile(row, changes)
        profile = self.profiles.get(id)
        if profile is None:
            raise InvalidArgument("This id is a staff member's", field="external_id")
        changed = changed_profile(profile, changes, now=self.now)
        if changed == profile:
            return "unchanged"
        self.changed.append((profile, changed))
        return "updated"

    def _new_profile(self, row: PersonRow, changes: ProfileChanges) -> str:
        wanted = replace(changes, kind=changes.kind or row.kind_if_new)
        id = uuid7()
        self.created.append(new_profile(wanted, clinic_id=self.clinic_id, id=id, now=self.now))
        self.new_ids[row.external_id] = id
        return "created"

    def _new_staff(self, row: PersonRow, changes: StaffChanges) -> str:
        id = uuid7()
        self.staff.append(new_staff_member(changes, clinic_id=self.clinic_id, id=id, now=self.now))
        self.new_ids[row.external_id] = id
        return "created"


async def _save(tx: Transaction, system: str, batch: _Batch) -> None:
    await tx.imports.create_profiles(batch.created)
    saved = [await tx.profiles.save(before, after) for before, after in batch.changed]
    for member in batch.staff:
        await tx.staff_members.create(member)
    await tx.imports.identify(system, batch.new_ids)
    for external_id, target in batch.links.items():
        await tx.imports.link(system, external_id, target=target)
    if batch.created or saved or batch.staff:
        await tx.publish(*batch.created, *saved, *batch.staff)
        await tx.note("import_profiles", "clinic", batch.clinic_id)
