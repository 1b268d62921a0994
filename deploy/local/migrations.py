"""Whether the code that makes a service's tables has changed since they were last made."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

_SERVICES = Path(__file__).parents[2] / "services"


def fingerprint(service: str) -> str:
    """Of all that a migration may import; too much is included rather than too little."""
    digest = hashlib.sha256()
    for file in _sources(service):
        digest.update(file.relative_to(_SERVICES).as_posix().encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _sources(service: str) -> Iterator[Path]:
    for folder in (f"{service}/storage", "directory_replica", "chassis"):
        yield from sorted((_SERVICES / folder).rglob("*.py"))
    yield from sorted(_SERVICES.glob("*.py"))
