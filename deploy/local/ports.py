"""Which part listens where, and how a person moves it."""

import random
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

HOST = "127.0.0.1"
SERVICES = ("directory", "conversations", "notifications", "export")
_INTERNAL, _HTTP = 100, 200

DEFAULTS: Mapping[str, int] = {
    **{service: 50051 + place for place, service in enumerate(SERVICES)},
    **{f"{service}-internal": 50151 + place for place, service in enumerate(SERVICES)},
    **{f"{service}-http": 50251 + place for place, service in enumerate(SERVICES)},
    "notifications-unsubscribe": 50353,
    "notifications-bounces": 8029,
    "mailbox": 8025,
    "mailbox-smtp": 8026,
    "pushes": 8027,
    "pushes-http2": 8028,
    "postgres": 50061,
    "nats": 50062,
}


class PortTaken(Exception):
    """The message is for the person who typed the command."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Port numbers by name: a service's own name is its public port."""

    numbers: Mapping[str, int]
    # Held open for as long as these ports are ours; see free().
    claims: tuple[socket.socket, ...] = field(default=(), repr=False, compare=False)

    def __getitem__(self, name: str) -> int:
        return self.numbers[name]

    def address(self, name: str) -> str:
        return f"{HOST}:{self.numbers[name]}"

    def with_free(self, names: Iterable[str]) -> "Ports":
        """These, and a free port for each further name; the new claims are the caller's too."""
        further = {name: claim_port() for name in names}
        numbers = {name: number for name, (number, _) in further.items()}
        claims = tuple(claim for _, claim in further.values())
        return Ports({**self.numbers, **numbers}, (*self.claims, *claims))

    def release(self) -> None:
        for claim in self.claims:
            claim.close()


def ports_of(service: str) -> tuple[str, str, str]:
    """The names of a service's ports: public gRPC, internal gRPC, plain HTTP."""
    return service, f"{service}-internal", f"{service}-http"


def variable(name: str) -> str:
    """The environment variable that moves this port."""
    return f"LOCAL_{name.upper().replace('-', '_')}_PORT"


def chosen(environment: Mapping[str, str]) -> Ports:
    """The documented ports, except where the environment names another."""
    return Ports({name: int(environment.get(variable(name), DEFAULTS[name])) for name in DEFAULTS})


def free() -> Ports:
    """Ports that nothing uses, for a throw-away stack."""
    return Ports({}).with_free(DEFAULTS)


def claim_port() -> tuple[int, socket.socket]:
    """A free port, ours until the socket beside it is closed.

    Below the range from which the kernel takes the ports of outgoing connections, so that a
    client's socket never sits on the port of a server that is being restarted. The claim is a
    name in the abstract socket namespace: whoever else claims ports in this way takes another.
    """
    while True:
        number = random.randint(10_000, 30_000)  # not a secret
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            claim.bind(f"\0clinic-messaging-port-{number}")
        except OSError:
            claim.close()
            continue
        if not taken(number):
            return number, claim
        claim.close()


def taken(number: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, number))
        except OSError:
            return True
        return False


def require_free(ports: Ports, names: Iterable[str]) -> None:
    """Raises PortTaken with a sentence for each port that somebody else holds."""
    sentences = [
        f"Port {ports[name]}, wanted by {name}, is in use by another program. "
        f"Stop that program, or choose another port with {variable(name)}=<number>."
        for name in names
        if taken(ports[name])
    ]
    if sentences:
        raise PortTaken("\n".join(sentences))
