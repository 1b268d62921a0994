"""A replay's outcome as data, as a table and as one sentence."""

from collections import Counter
from collections.abc import Iterator

from rich.console import Group

from clinic.directory.v1 import directory_internal_service_pb2 as pb
from services.cli.output import Json, Told, details, plain, word
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
            f"mail, nothing stayed unread, and merging {outcome.merges} patients and un-merging "
            f"{outcome.unmerges} of them hid and restored exactly what it should."
        )
    return (
        f"Not all is as it should be: {len(outcome.differences)} differences, and "
        f"{outcome.mails} mails for {outcome.staff_messages} staff messages."
    )


def _numbers(outcome: Outcome) -> Iterator[tuple[str, str]]:
    summary, measured = outcome.imported.summary, outcome.measured
    yield "people imported", f"{summary.created} of {summary.rows}"
    skipped = f"{summary.skipped}, of whom {outcome.deceased} are deceased"
    yield "people skipped", skipped
    if summary.failed:
        yield "people refused", f"{summary.failed}: {_reasons(outcome)}"
    if summary.merged:
        yield "merged by the file", str(summary.merged)
    for what, number in sorted(outcome.dropped.items()):
        if number:
            yield f"dropped: {what}", str(number)
    yield "dialogues", str(outcome.dialogues)
    yield "messages", str(outcome.messages)
    yield "replayed in", f"{measured.seconds:.1f} s, each staff message waiting for its mail"
    yield "messages a second", f"{measured.messages_a_second:.1f}"
    sends, mails = measured.sends, measured.mails
    yield "SendMessage", f"p50 {milliseconds(sends, 0.5)}, p99 {milliseconds(sends, 0.99)}"
    yield "from send to mail", f"p50 {milliseconds(mails, 0.5)}, p99 {milliseconds(mails, 0.99)}"
    yield "mails to patients", f"{outcome.mails} for {outcome.staff_messages} staff messages"
    yield "merges", f"{outcome.merges}, of which {outcome.unmerges} were undone"


def _reasons(outcome: Outcome) -> str:
    reasons = Counter(pb.ImportRowReason.Name(each.reason) for each in outcome.imported.errors)
    words = ((word(name, "IMPORT_ROW_REASON_"), times) for name, times in reasons.items())
    return ", ".join(f"{reason} ({times})" for reason, times in words)
