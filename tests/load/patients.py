"""FHIR Patients by the thousand, in the form of Synthea with US Core; the same for the same number.

Names of many origins, as frequent as they are common; most have a phone, half an address for mail.
"""

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from random import Random
from uuid import UUID, uuid5

_PATIENTS = UUID("5a0e1df1-0cb8-4f2c-a3de-9d7a40c6a3b1")
_CHUNK_BYTES = 48 * 1024

# The most common names first.
_NAMES = Path(__file__).parent / "names"
GIVEN = (_NAMES / "given.txt").read_text().split()
FAMILY = (_NAMES / "family.txt").read_text().split()
_BIRTH_DAYS = (date(1930, 1, 1).toordinal(), date(2024, 12, 31).toordinal())

_EXTENSIONS = [
    {
        "url": "http://hl7.org/fhir/us/core/StructureDefinition/us-core-race",
        "extension": [
            {
                "url": "ombCategory",
                "valueCoding": {
                    "system": "urn:oid:2.16.840.1.113883.6.238",
                    "code": "2106-3",
                    "display": "White",
                },
            },
            {"url": "text", "valueString": "White"},
        ],
    },
    {
        "url": "http://hl7.org/fhir/us/core/StructureDefinition/us-core-ethnicity",
        "extension": [
            {
                "url": "ombCategory",
                "valueCoding": {
                    "system": "urn:oid:2.16.840.1.113883.6.238",
                    "code": "2186-5",
                    "display": "Not Hispanic or Latino",
                },
            },
            {"url": "text", "valueString": "Not Hispanic or Latino"},
        ],
    },
    {
        "url": "http://hl7.org/fhir/us/core/StructureDefinition/us-core-birthsex",
        "valueCode": "F",
    },
    {
        "url": "http://hl7.org/fhir/StructureDefinition/patient-mothersMaidenName",
        "valueString": "June Mante",
    },
    {
        "url": "http://hl7.org/fhir/StructureDefinition/patient-birthPlace",
        "valueAddress": {"city": "Pittsfield", "state": "Massachusetts", "country": "US"},
    },
    {
        "url": "http://synthetichealth.github.io/synthea/disability-adjusted-life-years",
        "valueDecimal": 27.134308503843794,
    },
    {
        "url": "http://synthetichealth.github.io/synthea/quality-adjusted-life-years",
        "valueDecimal": 42.8656914961562,
    },
]
_HOME = {
    "address": [
        {
            "extension": [
                {
                    "url": "http://hl7.org/fhir/StructureDefinition/geolocation",
                    "extension": [
                        {"url": "latitude", "valueDecimal": 42.269478},
                        {"url": "longitude", "valueDecimal": -71.807783},
                    ],
                }
            ],
            "line": ["616 Daugherty Arcade"],
            "city": "Worcester",
            "state": "Massachusetts",
            "postalCode": "01545",
            "country": "US",
        }
    ],
    "maritalStatus": {"text": "M"},
    "communication": [
        {"language": {"coding": [{"system": "urn:ietf:bcp:47", "code": "en-US"}], "text": "en"}}
    ],
}


def patient(number: int) -> dict[str, object]:
    """The Patient of this number."""
    dice = Random(number)
    given, family = [_common(dice, GIVEN)], _common(dice, FAMILY)
    if dice.random() < 0.3:
        given.append(_common(dice, GIVEN))
    id = str(uuid5(_PATIENTS, str(number)))
    return {
        "resourceType": "Patient",
        "id": id,
        "extension": _EXTENSIONS,
        "identifier": [_identifier(code, f"{code}-{id}") for code in ("MR", "SS", "DL", "PPN")],
        "name": [{"use": "official", "family": family, "given": given, "prefix": ["Mx."]}],
        "telecom": list(_telecom(dice, number)),
        "gender": dice.choice(["female", "male", "other"]),
        "birthDate": str(date.fromordinal(dice.randint(*_BIRTH_DAYS))),
        **_HOME,
    }


def file(numbers: range) -> Iterator[bytes]:
    """A file of these Patients, in the chunks of an upload."""
    held = bytearray()
    for number in numbers:
        held += json.dumps(patient(number), ensure_ascii=False).encode() + b"\n"
        while len(held) >= _CHUNK_BYTES:
            yield bytes(held[:_CHUNK_BYTES])
            del held[:_CHUNK_BYTES]
    if held:
        yield bytes(held)


def practitioners(count: int) -> Iterator[bytes]:
    """A file of as many Practitioners."""
    for number in range(count):
        name = {"family": FAMILY[number % len(FAMILY)], "given": [GIVEN[number % len(GIVEN)]]}
        resource = {"resourceType": "Practitioner", "id": f"p{number}", "name": [name]}
        yield json.dumps(resource).encode() + b"\n"


def queries(count: int) -> list[str]:
    """What people type: beginnings of names, a part of one, of two, or of a number."""
    dice = Random(count)
    return [_query(dice) for _ in range(count)]


def _query(dice: Random) -> str:
    given, family = _common(dice, GIVEN), _common(dice, FAMILY)
    match dice.randrange(6):
        case 0:
            return given[: dice.randint(1, 3)]
        case 1:
            return family[: dice.randint(2, 6)]
        case 2:
            return f"{given} {family[:2]}"
        case 3:
            start = dice.randrange(max(len(family) - 3, 1))
            return family[start : start + dice.randint(3, 4)]
        case 4:
            return f"{family}, {given[0]}"
        case _:
            return f"555-{dice.randint(100, 999)}"


def _common(dice: Random, names: list[str]) -> str:
    """Names at the front are many people's, those at the end few people's."""
    return names[int(len(names) * dice.random() ** 1.7)]


def _telecom(dice: Random, number: int) -> Iterator[dict[str, object]]:
    if dice.random() < 0.9:
        phone = f"555-{dice.randint(100, 999)}-{dice.randint(0, 9999):04}"
        yield {"system": "phone", "value": phone, "use": "home"}
    if dice.random() < 0.5:
        host = dice.choice(["mail.example", "post.example", "example.org"])
        yield {"system": "email", "value": f"person{number}@{host}"}


def _identifier(code: str, value: str) -> dict[str, object]:
    coding = {"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": code}
    return {
        "type": {"coding": [coding]},
        "system": "http://hospital.smarthealthit.org",
        "value": value,
    }
