"""The keys of a development stack: made once, kept in files that only their owner can read.

Every JSON Web Key says of itself that it is for development, and services refuse such keys unless
they are told to accept them.
"""

import json
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from secrets import token_bytes

from joserfc.jwk import ECKey, OKPKey, RSAKey

from deploy.local.ports import SERVICES
from deploy.local.state import write_secret

# Files of private keys, and the caller that each key speaks for. A key's id is its caller.
MACHINES = {
    **{f"service-{service}.jwk": f"service:{service}" for service in SERVICES},
    "ops-dev.jwk": "ops:dev",
    "platform-gateway.jwk": "platform:gateway",
}
_ISSUER = "issuer-dev"

# With which notifications signs in to the push services, in the forms in which Google and Apple
# hand them out.
GOOGLE_ACCOUNT = "fcm-service-account.json"
GOOGLE_PROJECT = "clinic-development"
APPLE_KEY = "apns-development.p8"
APPLE_KEY_ID = "DEVELOP001"
APPLE_TEAM_ID = "DEVTEAM001"
APPLE_TOPIC = "localhost.clinic.app"


def make_keys(directory: Path) -> None:
    """Make what is missing; a key that is there is never replaced."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    issuer = _private_key(directory / "issuer.jwk", _ISSUER)
    machines = [_private_key(directory / name, caller) for name, caller in MACHINES.items()]
    _write_public(directory / "issuer.jwks", [issuer])
    _write_public(directory / "callers.jwks", machines)
    master = directory / "master.key"
    if not master.exists():
        write_secret(master, b64encode(token_bytes(32)).decode())


def make_push_keys(directory: Path, *, sign_in_url: str) -> None:
    """As above; where to sign in may move from start to start, with the ports."""
    apple = directory / APPLE_KEY
    if not apple.exists():
        write_secret(apple, ECKey.generate_key("P-256", private=True).as_pem(private=True).decode())
    path = directory / GOOGLE_ACCOUNT
    account = json.loads(path.read_text()) if path.exists() else _google_account()
    if account.get("token_uri") != sign_in_url:
        write_secret(path, json.dumps({**account, "token_uri": sign_in_url}, indent=2))


def _google_account() -> dict[str, object]:
    key = RSAKey.generate_key(2048, private=True)
    return _marked(
        {
            "type": "service_account",
            "project_id": GOOGLE_PROJECT,
            "private_key_id": "development",
            "private_key": key.as_pem(private=True).decode(),
            "client_email": f"push@{GOOGLE_PROJECT}.iam.localhost",
        }
    )


def _private_key(path: Path, kid: str) -> OKPKey:
    if path.exists():
        return OKPKey.import_key(json.loads(path.read_text()))
    key = OKPKey.generate_key("Ed25519", {"kid": kid, "use": "sig", "alg": "EdDSA"}, private=True)
    write_secret(path, json.dumps(_marked(key.as_dict(private=True))))
    return key


def _marked(members: Mapping[str, object]) -> dict[str, object]:
    return {**members, "development": True}


def _write_public(path: Path, keys: list[OKPKey]) -> None:
    members = [_marked(key.as_dict(private=False)) for key in keys]
    write_secret(path, json.dumps({"keys": members}, indent=2))
