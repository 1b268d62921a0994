"""What a stack consists of, before anything runs: names, addresses, settings, commands."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from deploy.local import environment, nats, parts, postgres
from deploy.local.databases import Database
from deploy.local.nats import Broker
from deploy.local.ports import Ports, ports_of
from deploy.local.postgres import Cluster
from deploy.local.process import Part
from deploy.local.state import State

# What a further process of a service does not listen on.
_OF_ONE_PROCESS = ("UNSUBSCRIBE_LISTEN", "BOUNCE_LISTEN")


@dataclass(frozen=True, slots=True)
class Blueprint:
    """`overrides` are environment variables that win over those computed here."""

    state: State
    ports: Ports
    services: tuple[str, ...]
    overrides: Mapping[str, str]

    @property
    def cluster(self) -> Cluster:
        return Cluster(self.state.directory, self.ports["postgres"], self.state.secrets().postgres)

    @property
    def broker(self) -> Broker:
        return Broker(self.state.nats, self.ports["nats"], self.state.secrets().nats)

    def database(self, service: str) -> Database:
        passwords = self.state.secrets().databases[service]
        return Database(service, service, self.ports["postgres"], passwords)

    def settings(self, service: str) -> dict[str, str]:
        """The variables of one service."""
        return environment.overridden(service, self._computed(service), self.overrides)

    def environment(self, service: str) -> dict[str, str]:
        """Everything that the process of a service finds in its environment."""
        return {**environment.of_program(os.environ), **self.settings(service)}

    def uses_own(self, variable: str) -> bool:
        """Whether the embedded server behind a variable is needed: not if all have another."""
        return not self.services or any(
            self.settings(service)[name] == self._computed(service)[name]
            for service in self.services
            for name in [f"{service.upper()}_{variable}"]
        )

    def port_names(self) -> Iterable[str]:
        """The ports that will be listened on."""
        yield from ("mailbox", "mailbox-smtp", "pushes", "pushes-http2")
        if self.uses_own("DATABASE_URL"):
            yield "postgres"
        if self.uses_own("NATS_URL"):
            yield "nats"
        for service in self.services:
            yield from ports_of(service)
        if "notifications" in self.services:
            yield from ("notifications-unsubscribe", "notifications-bounces")

    def postgres(self) -> Part:
        return postgres.part(self.cluster, self.state.logs / "postgres.log")

    def nats(self) -> Part:
        return nats.part(self.broker, self.state.logs / "nats.log")

    def mailbox(self) -> Part:
        program = environment.of_program(os.environ)
        return parts.mailbox(state=self.state, ports=self.ports, environment=program)

    def pushes(self) -> Part:
        program = environment.of_program(os.environ)
        return parts.pushes(state=self.state, ports=self.ports, environment=program)

    @property
    def push_services(self) -> str:
        """Where the push services of this machine are."""
        return environment.push_services(self.ports)

    def service(self, name: str) -> Part:
        port, told = self.ports[f"{name}-http"], self.environment(name)
        return parts.service(name, state=self.state, port=port, environment=told)

    def copy(self, service: str, name: str) -> Part:
        """A further process of a service, told the same but for where it listens."""
        listen = dict(
            zip(("LISTEN", "INTERNAL_LISTEN", "HTTP_LISTEN"), ports_of(name), strict=True)
        )
        own = {f"{service.upper()}_{key}": self.ports.address(port) for key, port in listen.items()}
        own |= {f"{service.upper()}_{key}": "" for key in _OF_ONE_PROCESS}
        told = {**self.environment(service), **own}
        port = self.ports[f"{name}-http"]
        part = parts.service(service, state=self.state, port=port, environment=told)
        return replace(part, name=name, log=self.state.logs / f"{name}.log")

    def migration(self, name: str) -> Part:
        return parts.migration(name, state=self.state, environment=self.environment(name))

    def summary(self) -> dict[str, object]:
        """Where everything is, without a secret."""
        ports = self.ports
        return {
            "pid": os.getpid(),
            "services": {
                service: {
                    "public": ports.address(service),
                    "internal": ports.address(f"{service}-internal"),
                    "http": f"http://{ports.address(f'{service}-http')}",
                }
                for service in self.services
            },
            "mailbox": f"http://{ports.address('mailbox')}",
            "pushes": f"http://{ports.address('pushes')}",
            "smtp": ports.address("mailbox-smtp"),
            "keys": str(self.state.keys),
            "logs": str(self.state.logs),
            "token_issuer": environment.ISSUER,
            "token_audience": environment.AUDIENCE,
        }

    def _computed(self, service: str) -> dict[str, str]:
        return environment.of_service(
            service,
            keys=self.state.keys,
            ports=self.ports,
            database=self.database(service),
            nats_url=self.broker.url(service),
            sealing_key=self.state.secrets().sealing[service],
        )
