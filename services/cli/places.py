"""Where the suite is, and which keys to sign with: from a running stack, or the environment."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from services.chassis.settings import Tls
from services.cli.failures import Failed

SERVICES = ("directory", "conversations", "notifications", "export")
_REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Places:
    """Targets by service, as host:port; paths of keys and of what the command remembers."""

    public: Mapping[str, str]
    internal: Mapping[str, str]
    keys: Path
    issuer: str
    audience: str
    mailbox: str
    memory: Path
    tls: Tls | None = None

    @property
    def issuer_key(self) -> Path:
        return self.keys / "issuer.jwk"

    @property
    def ops_key(self) -> Path:
        return self.keys / "ops-dev.jwk"

    @property
    def platform_key(self) -> Path:
        return self.keys / "platform-gateway.jwk"


def find(environ: Mapping[str, str]) -> Places:
    """The suite that CLINIC_… variables name, over the one that runs in LOCAL_STATE or .local;
    without targets where there is neither."""
    state = Path(environ.get("LOCAL_STATE") or _REPOSITORY / ".local")
    running = _read(state / "stack.json")
    return Places(
        public=_targets(environ, running, "public", "CLINIC_{}_TARGET"),
        internal=_targets(environ, running, "internal", "CLINIC_{}_INTERNAL_TARGET"),
        keys=Path(_text(environ, running, "keys", str(state / "keys"))),
        issuer=_text(environ, running, "token_issuer", "https://issuer.clinic.localhost"),
        audience=_text(environ, running, "token_audience", "clinic"),
        mailbox=_text(environ, running, "mailbox", ""),
        memory=state / "demo-clinic.json",
        tls=_tls(environ),
    )


def _read(file: Path) -> dict[str, object]:
    try:
        return dict(json.loads(file.read_text()))
    except FileNotFoundError:
        return {}
    except PermissionError as error:
        raise Failed(f"{file} belongs to another user of this machine.") from error


def _targets(
    environ: Mapping[str, str], running: Mapping[str, object], door: str, variable: str
) -> dict[str, str]:
    services = running.get("services")
    found = {
        name: dict(doors)[door]
        for name, doors in (services.items() if isinstance(services, dict) else ())
    }
    for service in SERVICES:
        if target := environ.get(variable.format(service.upper())):
            found[service] = target
    return found


def _text(
    environ: Mapping[str, str], running: Mapping[str, object], name: str, default: str
) -> str:
    return environ.get(f"CLINIC_{name.upper()}") or str(running.get(name, default))


def _tls(environ: Mapping[str, str]) -> Tls | None:
    certificate, key = environ.get("CLINIC_TLS_CERTIFICATE"), environ.get("CLINIC_TLS_KEY")
    if not certificate or not key:
        return None
    authority = environ.get("CLINIC_TLS_AUTHORITY")
    return Tls(Path(certificate), Path(key), Path(authority) if authority else None)
