"""With what we sign in to the push services: files in the forms in which they hand them out."""

import json
from pathlib import Path

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from services.chassis.settings import RefusedToStart
from services.notifications.channels.apns import AppleKey
from services.notifications.channels.fcm import ServiceAccount

_TEXTS = ("project_id", "client_email", "token_uri", "private_key_id", "private_key")


def read_service_account(path: Path, *, development: bool) -> ServiceAccount:
    """Raises RefusedToStart, also for a development account where none is allowed."""
    try:
        said = json.loads(_read(path))
        texts = {name: said[name] for name in _TEXTS}
        if not all(isinstance(text, str) for text in texts.values()):
            raise ValueError
        key = RSAKey.import_key(texts["private_key"])
    except (ValueError, KeyError, TypeError, JoseError):
        raise RefusedToStart(f"{path} is not a Google service account") from None
    if not development and (said.get("development") or not _is_https(texts["token_uri"])):
        raise RefusedToStart(f"{path} is a service account for development")
    return ServiceAccount(
        project_id=texts["project_id"],
        client_email=texts["client_email"],
        token_uri=texts["token_uri"],
        key_id=texts["private_key_id"],
        key=key,
    )


def read_apple_key(path: Path, *, key_id: str, team_id: str, topic: str) -> AppleKey:
    """Raises RefusedToStart."""
    try:
        key = ECKey.import_key(_read(path))
        if key.curve_name != "P-256" or not key.is_private:
            raise ValueError
    except (ValueError, JoseError):
        raise RefusedToStart(f"{path} is not a signing key of Apple's") from None
    return AppleKey(key_id=key_id, team_id=team_id, topic=topic, key=key)


def _is_https(url: str) -> bool:
    return url.startswith("https://")


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError as error:
        raise RefusedToStart(f"{path} cannot be read: {error.strerror}") from None
