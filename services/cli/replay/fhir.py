"""People from FHIR R4 in Bulk Data form: one JSON resource a line, in any *.ndjson file."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from services.cli.failures import Failed
from services.cli.sessions import Side

_SIDES = {"Patient": Side.PROFILE, "RelatedPerson": Side.PROFILE, "Practitioner": Side.STAFF}
_LOCAL_PART = re.compile(r"[\w+-]+(\.[\w+-]+)*", re.ASCII)
_LOCAL_PART_CHARACTERS = 64
_WORD = re.compile(r"[^\W_]+")

Resource = dict[str, object]


@dataclass
class People:
    """Everybody in some files, each with an address; nobody else's mail address is kept.

    `owners` says whose an address is; `initials` are the letters that words of names begin with.
    """

    resources: list[Resource] = field(default_factory=list)
    owners: dict[tuple[Side, str], str] = field(default_factory=dict)
    initials: set[str] = field(default_factory=set)
    deceased: set[str] = field(default_factory=set)
    unreadable: int = 0

    def file(self) -> Iterator[bytes]:
        """All of them as one file, line by line; the deceased too, for the import skips them."""
        for resource in self.resources:
            yield json.dumps(resource).encode() + b"\n"

    def take(self, resource: Resource) -> None:
        type = str(resource["resourceType"])
        address = self._address(_SIDES[type], f"{type}/{resource.get('id')}")
        if _is_deceased(resource):
            self.deceased.add(address)
        self.initials.update(word[0] for text in _name_texts(resource) for word in _words(text))
        self.resources.append(_reachable(resource, address))

    def _address(self, side: Side, who: str) -> str:
        """`<id>@example.test`; an id that no address may hold, or that only differs in case from
        another one, is told by its hash."""
        local = who.partition("/")[2].strip()
        taken = self.owners.setdefault((side, f"{local}@example.test".casefold()), who) != who
        fits = _LOCAL_PART.fullmatch(local) and len(local) <= _LOCAL_PART_CHARACTERS
        if taken or not fits:
            local = hashlib.sha256(who.encode(errors="surrogatepass")).hexdigest()[:32]
        address = f"{local}@example.test"
        self.owners[side, address.casefold()] = who
        return address


def read_people(directory: Path) -> People:
    """Everybody in the directory's files. Raises Failed where it holds nobody."""
    people = People()
    for line in _lines(directory):
        resource = _resource(line)
        if resource is None:
            people.unreadable += 1
        elif resource.get("resourceType") in _SIDES:
            people.take(resource)
    if not people.resources:
        raise Failed(f"{directory} holds no Patient or Practitioner in its *.ndjson files.")
    return people


def _lines(directory: Path) -> Iterator[bytes]:
    files = sorted(directory.glob("*.ndjson"))
    if not files:
        raise Failed(f"{directory} holds no *.ndjson file.")
    for file in files:
        with file.open("rb") as opened:
            yield from filter(None, map(bytes.strip, opened))


def _resource(line: bytes) -> Resource | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _is_deceased(person: Resource) -> bool:
    return person.get("deceasedBoolean") is True or bool(person.get("deceasedDateTime"))


def _reachable(person: Resource, address: str) -> Resource:
    """The resource with this mail address and no other: nobody real may be written to."""
    kept = [each for each in _entries(person, "telecom") if each.get("system") != "email"]
    return {**person, "telecom": [*kept, {"system": "email", "value": address}]}


def _entries(resource: Mapping[str, object], element: str) -> list[Resource]:
    entries = resource.get(element)
    return [each for each in entries if isinstance(each, dict)] if isinstance(entries, list) else []


def _name_texts(resource: Resource) -> Iterator[str]:
    """All that is said of somebody's names, whichever of them the directory takes."""
    for name in _entries(resource, "name"):
        for value in name.values():
            values = value if isinstance(value, list) else [value]
            yield from (text for text in values if isinstance(text, str))


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())
