"""The signature of a manifest: a detached JWS with Ed25519 (RFC 7515, RFC 8037).

Written by hand, over a format with one algorithm and one spelling: a signature file that is not
byte for byte what signing makes is refused.
"""

import base64
import binascii
import json
from collections.abc import Mapping

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_ALGORITHM = "EdDSA"
_TYPE = "clinic-messages-export"

Keys = Mapping[str, Ed25519PublicKey]


def signature_of(manifest: bytes, *, kid: str, key: Ed25519PrivateKey) -> bytes:
    """The bytes of manifest.sig; the same manifest and key always give the same."""
    header = _header(kid)
    return _file(header, key.sign(_signed(header, manifest)))


def is_signed(manifest: bytes, signature: bytes, keys: Keys) -> bool:
    """Whether one of the keys made this signature file of this manifest."""
    encoded_header, _, rest = signature.partition(b"..")
    try:
        kid = json.loads(_decoded(encoded_header))["kid"]
        sealed = _decoded(rest.removesuffix(b"\n"))
    except (ValueError, TypeError, KeyError, RecursionError):
        return False
    key = keys.get(kid) if isinstance(kid, str) else None
    if key is None or signature != _file(_header(kid), sealed):
        return False
    try:
        key.verify(sealed, _signed(_header(kid), manifest))
    except InvalidSignature:
        return False
    return True


def read_keys(data: bytes) -> Keys:
    """The Ed25519 keys of a JWK or a JWKS by their kid; keys of other kinds sign no exports.

    Raises ValueError where there are none.
    """
    try:
        given = json.loads(data)
        members = given.get("keys", [given])
        keys = {
            member["kid"]: Ed25519PublicKey.from_public_bytes(_decoded(member["x"].encode()))
            for member in members
            if (member["kty"], member.get("crv")) == ("OKP", "Ed25519")
        }
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError("neither a JWK nor a JWKS") from error
    if not keys:
        raise ValueError("no Ed25519 key is in it")
    return keys


def _header(kid: str) -> bytes:
    members = {"alg": _ALGORITHM, "kid": kid, "typ": _TYPE}
    return json.dumps(members, separators=(",", ":")).encode()


def _signed(header: bytes, manifest: bytes) -> bytes:
    return _encoded(header) + b"." + _encoded(manifest)


def _file(header: bytes, sealed: bytes) -> bytes:
    return _encoded(header) + b".." + _encoded(sealed) + b"\n"


def _encoded(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _decoded(data: bytes) -> bytes:
    """Raises ValueError for what is not base64url."""
    try:
        return base64.b64decode(data + b"=" * (-len(data) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError("not base64url") from error
