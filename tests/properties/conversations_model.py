"""What conversations promises, in dictionaries: the whole of it that a client can see.

Knows nothing of the service. An outcome is `OK` or the reason of a refusal.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

STAFF, PROFILE = "staff", "profile"
OK = "OK"
NOT_FOUND = "CONVERSATION_NOT_FOUND"


def other(side: str) -> str:
    return PROFILE if side == STAFF else STAFF


@dataclass
class Said:
    """A message; `old` once its five minutes are over."""

    sender: str
    body: str
    request: str
    deleted: bool = False
    read: bool = False
    old: bool = False


@dataclass
class Thread:
    """The one thread of a staff member and a profile; `activity` orders the inbox."""

    staff: str
    profile: str
    activity: int
    said: list[Said] = field(default_factory=list)
    read_up_to: dict[str, int] = field(default_factory=lambda: {STAFF: 0, PROFILE: 0})

    def person(self, side: str) -> str:
        return self.staff if side == STAFF else self.profile

    def unread(self, side: str) -> int:
        beyond = self.said[self.read_up_to[side] :]
        return sum(said.sender != side and not said.deleted for said in beyond)


@dataclass
class Facts:
    """What the directory says of a profile."""

    override: str = "INHERIT"
    merged_into: str | None = None
    do_not_email: bool = False


@dataclass
class Model:
    staff: dict[str, bool]
    profiles: dict[str, Facts]
    allowed: bool = True
    threads: dict[tuple[str, str], Thread] = field(default_factory=dict)
    clock: int = 0

    def sees(self, side: str, thread: Thread) -> bool:
        """R9, R49: of participants only."""
        merged = self.profiles[thread.profile].merged_into is not None
        return side == STAFF or (bool(thread.said) and not merged)

    def why_not(self, side: str, staff: str, profile: str) -> str | None:
        """The first rule that keeps a side from writing."""
        facts = self.profiles[profile]
        if facts.merged_into is not None:
            return "PROFILE_MERGED"
        if not self.staff[staff]:
            return "STAFF_INACTIVE"
        if facts.override == "BLOCK":
            return "MESSAGING_BLOCKED"
        if facts.override == "INHERIT" and not self.allowed:
            return "MESSAGING_DISABLED"
        return "RECIPIENT_DO_NOT_EMAIL" if facts.do_not_email and side == STAFF else None

    def start(self, staff: str, profile: str) -> str:
        why = self.why_not(STAFF, staff, profile)
        if why is not None:
            return "CONVERSATION_READ_ONLY" if why == "STAFF_INACTIVE" else why
        if (staff, profile) not in self.threads:
            self.threads[staff, profile] = Thread(staff, profile, self._tick())
        return OK

    def send(self, thread: Thread, side: str, body: str, request: str) -> str:
        """A repeat is answered before any refusal but not found; see `earlier`."""
        if not self.sees(side, thread):
            return NOT_FOUND
        if (earlier := self.earlier(thread, side, request)) is not None:
            said = thread.said[earlier - 1]
            return OK if said.deleted or said.body == body else "IDEMPOTENCY_MISMATCH"
        if (why := self.why_not(side, thread.staff, thread.profile)) is not None:
            told = {
                "PROFILE_MERGED": "CONVERSATION_ARCHIVED",
                "STAFF_INACTIVE": "CONVERSATION_READ_ONLY",
            }
            return told.get(why, why)
        thread.said.append(Said(side, body, request))
        thread.activity = self._tick()
        return OK

    def earlier(self, thread: Thread, side: str, request: str) -> int | None:
        """The sequence of what this request made."""
        for sequence, said in enumerate(thread.said, 1):
            if said.sender == side and said.request == request:
                return sequence
        return None

    def mark(self, thread: Thread, side: str, up_to: int) -> str:
        if not self.sees(side, thread):
            return NOT_FOUND
        if up_to > len(thread.said):
            return "READ_BEYOND_LAST"
        for said in thread.said[:up_to]:
            said.read = said.read or said.sender != side
        thread.read_up_to[side] = max(thread.read_up_to[side], up_to)
        return OK

    def delete(self, thread: Thread, side: str, sequence: int) -> str:
        if not self.sees(side, thread):
            return NOT_FOUND
        if sequence > len(thread.said):
            return "MESSAGE_NOT_FOUND"
        said = thread.said[sequence - 1]
        if said.sender != side:
            return "NOT_SENDER"
        if not said.deleted and said.old:
            return "DELETE_WINDOW_CLOSED"
        said.deleted = True
        return OK

    def inbox(self, side: str, name: str) -> list[Thread]:
        """The threads that a person sees, the latest activity first."""
        own = [thread for thread in self.threads.values() if thread.person(side) == name]
        seen = [thread for thread in own if self.sees(side, thread)]
        return sorted(seen, key=lambda thread: -thread.activity)

    def badge(self, side: str, name: str) -> tuple[int, int]:
        """Messages, and the threads that they are in (R11)."""
        numbers = [thread.unread(side) for thread in self.inbox(side, name)]
        return sum(numbers), sum(number > 0 for number in numbers)

    def causes(self, thread: Thread) -> set[str]:
        """The reasons in force (I1 to I6)."""
        merged = self.profiles[thread.profile].merged_into is not None
        found = {"MERGED_AWAY"} if merged else set()
        return found if self.staff[thread.staff] else found | {"STAFF_INACTIVE"}

    def survivor(self, profile: str) -> str:
        """Where a chain of merges ends (I4)."""
        while (into := self.profiles[profile].merged_into) is not None:
            profile = into
        return profile

    def live(self) -> list[str]:
        return [name for name, facts in self.profiles.items() if facts.merged_into is None]

    def people(self) -> Iterator[tuple[str, str]]:
        yield from ((STAFF, name) for name in self.staff)
        yield from ((PROFILE, name) for name in self.profiles)

    def _tick(self) -> int:
        self.clock += 1
        return self.clock
