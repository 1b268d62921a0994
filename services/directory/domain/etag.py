"""What a reader has to show that it knows the current state before it changes it."""

from services.directory.domain.errors import EtagStale


def etag_of(version: int) -> str:
    return f"v{version}"


def check_etag(given: str, version: int, **ids: str) -> None:
    """Raises EtagStale unless `given` is of this version; an empty one asks for no check."""
    if given and given != etag_of(version):
        raise EtagStale("Somebody changed this since it was read; read again", **ids)
