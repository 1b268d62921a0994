"""Page tokens: sealed, tied to the query and to who asked, and they grant nothing."""

import base64
import binascii
import json
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from services.chassis.errors import InvalidArgument
from services.chassis.identity import current_caller
from services.chassis.limits import PAGE_SIZE_DEFAULT, PAGE_SIZE_MOST

Cursor = tuple[str | int, ...]

_NONCE_BYTES = 12
_TOKEN_CHARACTERS = 2_048


class PageTokenInvalid(InvalidArgument):
    """The token was made for another query or caller, or by nobody: start from the first page."""

    reason = "PAGE_TOKEN_INVALID"


class PageTokens:
    """Seals the place where a list was left, so that only the same query of the same caller
    continues there.

    `query` says which list it is, filters included, the page size not: it may change from page
    to page.
    """

    def __init__(self, key: bytes) -> None:
        derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"page tokens 1").derive(key)
        self._cipher = AESGCM(derived)

    def seal(self, query: str, cursor: Cursor) -> str:
        nonce = os.urandom(_NONCE_BYTES)
        plain = json.dumps(cursor, separators=(",", ":")).encode()
        sealed = nonce + self._cipher.encrypt(nonce, plain, _bound_to(query))
        return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()

    def open(self, token: str, query: str) -> Cursor | None:
        """The sealed cursor; None for an empty token, which asks for the first page.

        Raises PageTokenInvalid.
        """
        if not token:
            return None
        if len(token) > _TOKEN_CHARACTERS:
            raise _invalid()
        try:
            sealed = base64.b64decode(
                token + "=" * (-len(token) % 4), altchars=b"-_", validate=True
            )
            nonce, text = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
            return tuple(json.loads(self._cipher.decrypt(nonce, text, _bound_to(query))))
        except (binascii.Error, ValueError, InvalidTag):
            raise _invalid() from None


def page_size(requested: int) -> int:
    """How many to list: 50 for 0, never more than 200. Raises InvalidArgument for less than 0."""
    if requested < 0:
        raise InvalidArgument("page_size must not be negative", field="page_size")
    return min(requested or PAGE_SIZE_DEFAULT, PAGE_SIZE_MOST)


def _bound_to(query: str) -> bytes:
    caller = current_caller()
    return "\x00".join((caller.actor, str(caller.clinic_id or ""), query)).encode()


def _invalid() -> PageTokenInvalid:
    return PageTokenInvalid("page_token does not belong to this list", field="page_token")
