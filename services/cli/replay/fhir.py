"""People from FHIR R4 in Bulk Data form: one JSON resource a line, in any *.ndjson file."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from services.cli.failures import Failed

_LOCAL_PART = re.compile(r"[\w+-]+(\.[\w+-]+)*", re.ASCII)
_LOCAL_PART_CHARACTERS = 64
_NAME_CHARACTERS = 200
_WORD = re.compile(r"[^\W_]+")

Resource = dict[str, object]


@dataclass(frozen=True, slots=True)
class Patient:
    """A living patient: the address they are given, and the resource that says so."""

    address: str
    resource: Resource
    initials: frozenset[str]


@dataclass
class People:
    """Who the files hold, and how many of them were passed over."""

    patients: list[Patient] = field(default_factory=list)
    practitioners: list[str] = field(default_factory=list)
    passed_over: Counter[str] = field(default_factory=Counter)

    def file(self) -> Iterator[bytes]:
        """The patients as a file again, line by line."""
        for patient in self.patients:
            yield json.dumps(patient.resource, ensure_ascii=False).encode() + b"\n"

    def initials(self) -> list[str]:
        """With which letters the words of their names begin."""
        return sorted(frozenset().union(*(patient.initials for patient in self.patients)))


def read_people(directory: Path) -> People:
    """Everybody in the directory's files. Raises Failed where nobody can be made out of them."""
    people, addresses = People(), set[str]()
    for resource in _resources(directory, people.passed_over):
        match resource.get("resourceType"):
            case "Patient":
                _take_patient(resource, people, addresses)
            case "Practitioner":
                _take_practitioner(resource, people)
    if not people.patients:
        raise Failed(f"{directory} holds no living Patient in its *.ndjson files.")
    return people


def _take_patient(resource: Resource, people: People, addresses: set[str]) -> None:
    id = resource.get("id")
    if _is_deceased(resource):
        people.passed_over["deceased patients"] += 1
    elif not isinstance(id, str) or not id:
        people.passed_over["patients without an id"] += 1
    elif (address := _address(id)).casefold() in addresses:
        people.passed_over["patients listed again"] += 1
    else:
        addresses.add(address.casefold())
        initials = frozenset(word[0] for text in _name_texts(resource) for word in _words(text))
        people.patients.append(Patient(address, _reachable(resource, address), initials))


def _take_practitioner(resource: Resource, people: People) -> None:
    name = _full_name(resource)
    if resource.get("active") is False:
        people.passed_over["practitioners who are not active"] += 1
    elif not name:
        people.passed_over["practitioners without a name"] += 1
    else:
        people.practitioners.append(name[:_NAME_CHARACTERS])


def _resources(directory: Path, passed_over: Counter[str]) -> Iterator[Resource]:
    files = sorted(directory.glob("*.ndjson"))
    if not files:
        raise Failed(f"{directory} holds no *.ndjson file.")
    for file in files:
        with file.open("rb") as opened:
            for line in filter(None, map(bytes.strip, opened)):
                resource = _resource(line)
                if resource is None:
                    passed_over["lines that are no resource"] += 1
                else:
                    yield resource


def _resource(line: bytes) -> Resource | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _is_deceased(patient: Resource) -> bool:
    return patient.get("deceasedBoolean") is True or bool(patient.get("deceasedDateTime"))


def _address(id: str) -> str:
    """`<id>@example.test`; an id that no address may hold is told by its hash."""
    local = id
    if not _LOCAL_PART.fullmatch(id) or len(id) > _LOCAL_PART_CHARACTERS:
        local = hashlib.sha256(id.encode(errors="surrogatepass")).hexdigest()[:32]
    return f"{local}@example.test"


def _reachable(patient: Resource, address: str) -> Resource:
    """The resource with this mail address and no other: nobody real may be written to."""
    kept = [each for each in _entries(patient, "telecom") if each.get("system") != "email"]
    return {**patient, "telecom": [*kept, {"system": "email", "value": address}]}


def _entries(resource: Mapping[str, object], element: str) -> list[Resource]:
    entries = resource.get(element)
    return [each for each in entries if isinstance(each, dict)] if isinstance(entries, list) else []


def _name_texts(resource: Resource) -> Iterator[str]:
    """All that is said of somebody's names, whichever of them the directory takes."""
    for name in _entries(resource, "name"):
        for part in ("text", "prefix", "given", "family", "suffix"):
            yield from _texts(name.get(part))


def _texts(value: object) -> Sequence[str]:
    values = value if isinstance(value, list) else [value]
    return [text for text in values if isinstance(text, str)]


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _full_name(practitioner: Resource) -> str:
    """The first name's text or parts, on one line; empty where there is none."""
    for name in _entries(practitioner, "name"):
        parts = [_texts(name.get(part)) for part in ("text", "prefix", "given", "family")]
        told = " ".join(parts[0] or [word for part in parts for word in part])
        if line := " ".join("".join(c if c.isprintable() else " " for c in told).split()):
            return line
    return ""
