"""The mails that came, in memory and as files, so that a restart keeps them."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from itertools import count, takewhile
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Envelope:
    """What the client said around the mail; `answered` is false where it never heard "250"."""

    received_at: str
    sender: str
    recipients: tuple[str, ...]
    answered: bool


@dataclass(frozen=True, slots=True)
class Mail:
    id: str
    envelope: Envelope
    raw: bytes

    @property
    def message(self) -> EmailMessage:
        return message_from_bytes(self.raw, _class=EmailMessage, policy=default)

    def part(self, kind: str) -> str:
        """The plain or html text; empty where the mail has none."""
        body = self.message.get_body(preferencelist=(kind,))
        return "" if body is None else str(body.get_content())

    def is_for(self, address: str) -> bool:
        return address.lower() in (recipient.lower() for recipient in self.envelope.recipients)

    def as_json(self) -> dict[str, object]:
        message = self.message
        return {
            "id": self.id,
            **asdict(self.envelope),
            "subject": str(message["subject"] or ""),
            "headers": {name: str(value) for name, value in message.items()},
            "text": self.part("plain"),
            "html": self.part("html"),
        }


class Mailbox:
    """Newest first; an id says when its mail came."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory = directory
        self._mails = {mail.id: mail for mail in _stored(directory)}
        self._numbers = count(len(self._mails))

    def add(
        self, raw: bytes, *, sender: str, recipients: tuple[str, ...], at: datetime, answered: bool
    ) -> Mail:
        envelope = Envelope(at.isoformat(), sender, recipients, answered)
        mail = Mail(f"{at:%Y%m%dT%H%M%S%f}-{next(self._numbers)}", envelope, raw)
        (self._directory / f"{mail.id}.eml").write_bytes(raw)
        (self._directory / f"{mail.id}.json").write_text(json.dumps(asdict(envelope)))
        self._mails[mail.id] = mail
        return mail

    def list(self, *, to: str = "", after: str = "") -> list[Mail]:
        """All, or those addressed to one recipient, or those that came after another mail."""
        newer = takewhile(lambda mail: mail.id != after, reversed(self._mails.values()))
        return [mail for mail in newer if not to or mail.is_for(to)]

    def get(self, id: str) -> Mail | None:
        return self._mails.get(id)

    def clear(self) -> None:
        self._mails.clear()
        for file in self._directory.iterdir():
            file.unlink()


def _stored(directory: Path) -> Iterator[Mail]:
    for file in sorted(directory.glob("*.json")):
        said = json.loads(file.read_text())
        envelope = Envelope(**{**said, "recipients": tuple(said["recipients"])})
        yield Mail(file.stem, envelope, file.with_suffix(".eml").read_bytes())
