"""A replay's outcome as data, as a table and as one sentence."""

from collections.abc import Iterator

from rich.console import Group

from services.cli.output import Json, Told, details, plain
from services.cli.replay.numbers import milliseconds
from services.cli.replay.performance import Outcome

_MOST_SHOWN = 20


def told(outcome: Outcome) -> Told:
    pairs = list(_numbers(outcome))
    shown = [plain(f"  ✗ {each}") for each in outcome.differences[:_MOST_SHOWN]]
    more = len(outcome.differences) - _MOST_SHOWN
    if more > 0:
        shown.append(plain(f"  … and {more} more"))
    sentence = verdict(outcome)
    data: Json = {
        "numbers": dict(pairs),
        "differences": outcome.differences,
        "verdict": sentence,
    }
    parts = Group(plain(""), details(pairs), plain(""), *shown, plain(sentence))
    return Told(data, parts, ok=holds(outcome), wraps=False)


def holds(outcome: Outcome) -> bool:
    return not outcome.differences and outcome.mails == outcome.staff_messages > 0


def verdict(outcome: Outcome) -> str:
    if holds(outcome):
        return (
            f"All {outcome.messages} messages of {outcome.dialogues} dialogues came back byte for "
            f"byte on both sides, each of the {outcome.staff_messages} staff messages made its "
            f"mail, nothing stayed unread, and {outcome.merges} merges and {outcome.unmerges} "
            "un-merges hid and restored exactly what they should."
        )
    return (
        f"Not all is as it should be: {len(outcome.differences)} differences, and "
        f"{outcome.mails} mails for {outcome.staff_messages} staff messages."
    )


def _numbers(outcome: Outcome) -> Iterator[tuple[str, str]]:
    summary, measured = outcome.imported.summary, outcome.measured
    yield "patients imported", f"{summary.created} of {summary.rows}"
    for what, number in sorted(outcome.passed_over.items()):
        if number:
            yield f"left out: {what}", str(number)
    if summary.failed:
        yield "left out: rows that the directory refused", str(summary.failed)
    yield "dialogues", str(outcome.dialogues)
    yield "messages", str(outcome.messages)
    yield "messages a second", f"{measured.messages_a_second:.1f} over {measured.seconds:.1f} s"
    sends, mails = measured.sends, measured.mails
    yield "SendMessage", f"p50 {milliseconds(sends, 0.5)}, p99 {milliseconds(sends, 0.99)}"
    yield "from send to mail", f"p50 {milliseconds(mails, 0.5)}, p99 {milliseconds(mails, 0.99)}"
    yield "mails to patients", f"{outcome.mails} for {outcome.staff_messages} staff messages"
    yield "merges", f"{outcome.merges}, of which {outcome.unmerges} were undone"
