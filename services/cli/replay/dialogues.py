"""Dialogues from a file: one a line of JSON, `{"id", "turns": [{"from", "text"}]}`."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import dropwhile, islice
from pathlib import Path

from services.chassis.limits import BODY_BYTES, BODY_CODE_POINTS
from services.cli.failures import Failed
from services.cli.sessions import Side


@dataclass(frozen=True, slots=True)
class Turn:
    side: Side
    text: str


@dataclass(frozen=True, slots=True)
class Dialogue:
    """What is replayed: it begins with a staff member, for patients cannot start."""

    id: str
    turns: tuple[Turn, ...]

    def said_by(self, side: Side) -> int:
        return sum(turn.side is side for turn in self.turns)


@dataclass
class Script:
    """The dialogues, and how many turns of them were dropped."""

    dialogues: list[Dialogue] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)

    @property
    def turns(self) -> int:
        return sum(len(dialogue.turns) for dialogue in self.dialogues)

    @property
    def staff_turns(self) -> int:
        return sum(dialogue.said_by(Side.STAFF) for dialogue in self.dialogues)


def read_dialogues(file: Path, *, count: int) -> Script:
    """The first `count` dialogues in which a staff member says something.

    Raises Failed where the file is not of its form.
    """
    script = Script()
    script.dialogues.extend(islice(_dialogues(file, script.dropped), count))
    if not script.dialogues:
        raise Failed(f"{file} holds no dialogue in which a staff member says something.")
    return script


def _dialogues(file: Path, dropped: Counter[str]) -> Iterator[Dialogue]:
    try:
        opened = file.open("rb")
    except OSError as error:
        raise Failed(f"{file} cannot be read: {error.strerror}.") from error
    with opened:
        for number, line in enumerate(opened, start=1):
            if line.strip():
                dialogue = _dialogue(line, f"{file.name}, line {number}", number)
                if (kept := _playable(dialogue, dropped)).turns:
                    yield kept


def _dialogue(line: bytes, place: str, number: int) -> Dialogue:
    try:
        told = json.loads(line)
        turns = tuple(Turn(Side(each["from"]), each["text"]) for each in told["turns"])
    except (ValueError, TypeError, KeyError) as error:
        raise Failed(f'{place} is no dialogue: {{"id", "turns": [{{"from", "text"}}]}}.') from error
    if not all(isinstance(turn.text, str) for turn in turns):
        raise Failed(f"{place} holds a turn without text.")
    return Dialogue(str(told.get("id", number)), turns)


def _playable(dialogue: Dialogue, dropped: Counter[str]) -> Dialogue:
    sendable = [turn for turn in dialogue.turns if _is_sendable(turn.text)]
    dropped["unsendable turns"] += len(dialogue.turns) - len(sendable)
    kept = list(dropwhile(lambda turn: turn.side is Side.PROFILE, sendable))
    dropped["leading patient turns"] += len(sendable) - len(kept)
    return Dialogue(dialogue.id, tuple(kept))


def _is_sendable(text: str) -> bool:
    """Not blank, not too long, and text that UTF-8 can write."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        return False
    return bool(text.strip()) and len(text) <= BODY_CODE_POINTS and size <= BODY_BYTES
