"""Who is told of what, in lists: the rules of telling as people were promised them.

Knows nothing of the service. One staff member, two profiles with a thread each; time is a number
of minutes, and all that waits goes when the history says so.
"""

from dataclasses import dataclass, field

STAFF, PROFILE = "staff", "profile"


@dataclass
class Session:
    """`end` and `expired` as the directory tells them, early or late."""

    start: int
    active: int
    end: int | None = None
    expired: bool = False

    def covers(self, at: int) -> bool:
        """Signed in at this minute (R24); who let a session expire had left before (I19)."""
        if at < self.start or (self.end is not None and at >= self.end):
            return False
        return not self.expired or at <= self.active


@dataclass
class Message:
    """`mail` is what became of telling its recipient: waits, told, dropped, or kept back because
    they were signed in. `group` is the mail that it waits for."""

    sender: str
    at: int
    mail: str = "dropped"
    group: object = None
    push: str = "dropped"
    gone: bool = False


@dataclass
class Thread:
    """With one profile. `read` is how far each side has."""

    do_not_email: bool = False
    merged: bool = False
    phone: bool = True
    messages: list[Message] = field(default_factory=list)
    read: dict[str, int] = field(default_factory=lambda: {STAFF: 0, PROFILE: 0})

    def told_to(self, side: str) -> list[Message]:
        return [message for message in self.messages if message.sender != side]

    def unread(self, side: str) -> list[Message]:
        beyond = self.messages[self.read[side] :]
        return [message for message in beyond if message.sender != side]


@dataclass
class Model:
    """`mails` are the numbers that the mails named, by address; `pushes` how many went."""

    threads: list[Thread] = field(default_factory=lambda: [Thread(), Thread()])
    opted_in: int | None = None
    sessions: list[Session] = field(default_factory=list)
    mails: dict[str, list[int]] = field(default_factory=dict)
    pushes: list[int] = field(default_factory=lambda: [0, 0])

    def send(self, thread: Thread, sender: str, at: int) -> None:
        message = Message(sender, at)
        thread.messages.append(message)
        if sender == STAFF:
            self._to_profile(thread, message)
        elif self._wants(at):
            if self._signed_in(at):
                message.mail = "signed in"
            else:
                self._wait(thread, message, object())

    def _to_profile(self, thread: Thread, message: Message) -> None:
        """Always, and whoever is signed in where (R14, I21), but for I10 and I13."""
        if not (thread.merged or thread.do_not_email):
            self._wait(thread, message, object())
            message.push = "waits" if thread.phone else "dropped"

    def _wants(self, at: int) -> bool:
        return self.opted_in is not None and at >= self.opted_in

    def _signed_in(self, at: int) -> bool:
        return any(session.covers(at) for session in self.sessions)

    def _wait(self, thread: Thread, message: Message, new: object) -> None:
        """In the mail that waits for the thread already, or in a new one (I42)."""
        waiting = [
            other.group
            for other in thread.messages
            if other.sender == message.sender and other.mail == "waits"
        ]
        message.mail, message.group = "waits", waiting[0] if waiting else new

    def delete(self, thread: Thread, number: int) -> None:
        """Nobody is told of it any more (I16)."""
        message = thread.messages[number]
        message.gone = True
        self._drop([message])

    def mark_read(self, thread: Thread, side: str) -> None:
        """All that is there."""
        thread.read[side] = len(thread.messages)
        self._drop(thread.told_to(side))

    def flag(self, thread: Thread, value: bool) -> None:
        """Do Not Email: what waits is called off, and nothing comes late (I14)."""
        thread.do_not_email = value
        if value:
            self._drop(thread.told_to(PROFILE))

    def merge(self, thread: Thread, value: bool) -> None:
        """What waits is called off, the phone is none of theirs any more (I8, I10)."""
        thread.merged = value
        if value:
            thread.phone = False
            self._drop(thread.told_to(PROFILE))

    def tick(self, at: int | None) -> None:
        """Mail is wanted from a minute on, or not (R23, R26)."""
        self.opted_in = at
        if at is None:
            for thread in self.threads:
                self._drop(thread.told_to(STAFF))

    def sign_in(self, at: int) -> None:
        self.sessions.append(Session(at, at))

    def end(self, session: Session, at: int, *, expired: bool) -> None:
        """What came after they had left is mailed then, all of it in one (R24, I19)."""
        session.end, session.expired = at, expired
        together = object()
        fresh = []
        for thread in self.threads:
            for message in thread.unread(STAFF):
                kept_back = message.mail == "signed in" and not message.gone
                if kept_back and self._wants(message.at) and not self._signed_in(message.at):
                    fresh.append((thread, message))
        # Whether a mail waits for a thread is looked at once, before any of these does.
        before = {id(thread): self._waiting_group(thread) for thread, _ in fresh}
        for thread, message in fresh:
            message.mail = "waits"
            message.group = before[id(thread)] or together

    def _waiting_group(self, thread: Thread) -> object:
        found = [each.group for each in thread.told_to(STAFF) if each.mail == "waits"]
        return found[0] if found else None

    def _drop(self, messages: list[Message]) -> None:
        for message in messages:
            if message.mail == "waits":
                message.mail = "dropped"
            if message.push == "waits":
                message.push = "dropped"

    def let_go(self) -> None:
        """All that waits leaves: a mail for each group, a push for each thread."""
        for number, thread in enumerate(self.threads):
            if any(message.push == "waits" for message in thread.messages):
                self.pushes[number] += 1
        groups: dict[object, tuple[str, list[Message]]] = {}
        for number, thread in enumerate(self.threads):
            for message in thread.messages:
                if message.mail == "waits":
                    to = STAFF if message.sender == PROFILE else f"{PROFILE} {number}"
                    groups.setdefault(message.group, (to, []))[1].append(message)
        for to, messages in groups.values():
            self.mails.setdefault(to, []).append(len(messages))
        for thread in self.threads:
            for message in thread.messages:
                message.mail = "told" if message.mail == "waits" else message.mail
                message.push = "told" if message.push == "waits" else message.push
