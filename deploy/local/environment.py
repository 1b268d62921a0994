"""What each service is told: the settings of docs/operations.md, filled in for one machine."""

from collections.abc import Mapping
from pathlib import Path

from deploy.local.databases import Database
from deploy.local.keys import (
    APPLE_KEY,
    APPLE_KEY_ID,
    APPLE_TEAM_ID,
    APPLE_TOPIC,
    GOOGLE_ACCOUNT,
)
from deploy.local.ports import HOST, Ports

ISSUER = "https://issuer.clinic.localhost"
AUDIENCE = "clinic"

# Whose internal port each service calls.
PEERS: Mapping[str, tuple[str, ...]] = {
    "directory": ("conversations", "notifications"),
    "conversations": ("directory", "notifications"),
    "notifications": ("directory", "conversations"),
    "export": ("directory", "conversations", "notifications"),
}


def of_service(
    service: str, *, keys: Path, ports: Ports, database: Database, nats_url: str, sealing_key: str
) -> dict[str, str]:
    """Every variable of one service, without what a person has overridden."""
    named = {
        "DATABASE_URL": database.app,
        "WORKER_DATABASE_URL": database.worker,
        "OWNER_DATABASE_URL": database.owner,
        "NATS_URL": nats_url,
        "SEALING_KEY": sealing_key,
        **_addresses(service, ports),
        **_trust(service, keys),
        **_own(service, keys, ports),
    }
    return {f"{service.upper()}_{name}": value for name, value in named.items()}


def overridden(
    service: str, computed: Mapping[str, str], environment: Mapping[str, str]
) -> dict[str, str]:
    """A variable that a person has set wins; those of other services and programs stay out."""
    prefix = f"{service.upper()}_"
    said = {name: value for name, value in environment.items() if name.startswith(prefix)}
    return {**computed, **said}


def of_program(environment: Mapping[str, str]) -> dict[str, str]:
    """What any program of ours needs besides its settings."""
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "SSL_CERT_FILE")
    return {name: environment[name] for name in kept if name in environment}


def push_services(ports: Ports) -> str:
    """HTTP/2 in the clear, for it stays on this machine."""
    return f"http://{ports.address('pushes-http2')}"


def _addresses(service: str, ports: Ports) -> dict[str, str]:
    return {
        "LISTEN": ports.address(service),
        "INTERNAL_LISTEN": ports.address(f"{service}-internal"),
        "HTTP_LISTEN": ports.address(f"{service}-http"),
        **{f"{peer.upper()}_TARGET": ports.address(f"{peer}-internal") for peer in PEERS[service]},
    }


def _trust(service: str, keys: Path) -> dict[str, str]:
    return {
        "TOKEN_ISSUER": ISSUER,
        "TOKEN_AUDIENCE": AUDIENCE,
        "ISSUER_JWKS": str(keys / "issuer.jwks"),
        "CALLERS_JWKS": str(keys / "callers.jwks"),
        "SIGNING_KEY": str(keys / f"service-{service}.jwk"),
        "DEVELOPMENT": "true",
    }


def _own(service: str, keys: Path, ports: Ports) -> dict[str, str]:
    """What only one service knows."""
    master_key = {"MASTER_KEY_FILE": str(keys / "master.key")}
    mail = {
        "SMTP_HOST": HOST,
        "SMTP_PORT": str(ports["mailbox-smtp"]),
        "MAIL_FROM": "Clinic messages <messages@clinic.localhost>",
        "BOUNCE_DOMAIN": "clinic.localhost",
        "BOUNCE_LISTEN": ports.address("notifications-bounces"),
        "UNSUBSCRIBE_LISTEN": ports.address("notifications-unsubscribe"),
        "PUBLIC_URL": f"http://{ports.address('notifications-unsubscribe')}",
    }
    push = {
        "FCM_CREDENTIALS": str(keys / GOOGLE_ACCOUNT),
        "FCM_URL": push_services(ports),
        "APNS_KEY": str(keys / APPLE_KEY),
        "APNS_KEY_ID": APPLE_KEY_ID,
        "APNS_TEAM_ID": APPLE_TEAM_ID,
        "APNS_TOPIC": APPLE_TOPIC,
        "APNS_URL": push_services(ports),
    }
    # Without the six minutes that an export of production stays behind, one can see it at work.
    files = {"DIRECTORY": str(keys.parent / "exports"), "CUTOFF": "0"}
    own = {"conversations": master_key, "export": files, "notifications": mail | push}
    return own.get(service, {})
