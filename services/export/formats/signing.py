"""The key that signs manifests: this service's own, the one that its tokens are signed with."""

import json
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey, import_key

from services.chassis.settings import RefusedToStart
from services.export_format.signature import signature_of


@dataclass(frozen=True, slots=True)
class ManifestSigner:
    kid: str
    key: Ed25519PrivateKey = field(repr=False)

    def sign(self, manifest: bytes) -> bytes:
        """The bytes of the signature file, the same each time."""
        return signature_of(manifest, kid=self.kid, key=self.key)


def manifest_signer(path: Path) -> ManifestSigner:
    """From a private JWK. Raises RefusedToStart unless it is of Ed25519.

    ECDSA throws a die for every signature, so that two runs of one job would differ.
    """
    try:
        jwk = import_key(json.loads(path.read_bytes()))
    except OSError as error:
        raise RefusedToStart(f"{path} cannot be read: {error.strerror}") from error
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise RefusedToStart(f"{path} is not a private JWK") from error
    key = jwk.private_key if isinstance(jwk, OKPKey) else None
    if not isinstance(key, Ed25519PrivateKey) or not jwk.kid:
        raise RefusedToStart(f"{path} must hold a private Ed25519 key with a kid: it signs exports")
    return ManifestSigner(str(jwk.kid), key)
