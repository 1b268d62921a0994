"""What the clients of a fault test have done and heard: the truth that the suite is held to."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from tests.support.suite import Clinic, Member


@dataclass(frozen=True, slots=True, eq=False)
class Thread:
    """A conversation. `senders` are those of the two who never come and go; the same person twice
    sends from two devices."""

    id: str
    clinic: Clinic
    staff: Member
    profile: Member
    senders: tuple[Member, ...]

    @property
    def closes(self) -> bool:
        """Whether somebody of it is merged away or deactivated, so that a send may be refused."""
        return len(self.senders) == 1


@dataclass(frozen=True, slots=True)
class Sent:
    """A send that was acknowledged, when it was first tried, and when it was answered."""

    thread: Thread
    sender: Member
    device: int
    message_id: str
    sequence: int
    body: str
    began: float
    answered: float


@dataclass(frozen=True, slots=True)
class Closed:
    """A time in which no send to a thread may be taken: from when a merge or a deactivation was
    confirmed to when its undoing began."""

    thread: Thread
    since: float
    until: float


@dataclass(slots=True)
class Book:
    acked: list[Sent] = field(default_factory=list)
    deleted: set[str] = field(default_factory=set)
    closed: list[Closed] = field(default_factory=list)

    def acked_in(self, thread: Thread) -> list[Sent]:
        return [sent for sent in self.acked if sent.thread is thread]

    def taken_on_stale_facts(self) -> Iterator[Sent]:
        """Sends that began and were taken while the thread was closed for certain (I38)."""
        for closed in self.closed:
            for sent in self.acked_in(closed.thread):
                if closed.since < sent.began and sent.answered < closed.until:
                    yield sent

    def longest_silence(self, since: float) -> float:
        """Seconds without an acknowledged send, from then on."""
        times = [since, *sorted(sent.answered for sent in self.acked if sent.answered > since)]
        return max(after - before for before, after in pairwise(times))
