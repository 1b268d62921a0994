"""What the offline verifier finds in a folder that is not the export that was handed over."""

import json
import os
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.export.domain.export import Export, Scope, State
from services.export.domain.job import Mark
from services.export.domain.stream import Archival, Conversation, Message, Told
from services.export.formats.lines import ChainedFile
from services.export.formats.manifest import write_manifest
from services.export.formats.records import conversation_record, message_record
from services.export.formats.shelf import Draft
from services.export.formats.signing import ManifestSigner
from services.export_format.layout import (
    CONVERSATIONS,
    FILES,
    MANIFEST,
    MESSAGES,
    SIGNATURE,
    Counts,
    decode_manifest,
    hash_of,
)
from services.export_format.signature import signature_of
from services.export_format.verify import Finding, Problem, verify
from services.messaging_rule import Side

KID = "service:export"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KEYS = {KID: KEY.public_key()}
REQUESTED = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
CUTOFF = REQUESTED - timedelta(minutes=6)
EXPORT = Export(
    clinic_id=UUID(int=1),
    id=UUID(int=2),
    staff_id=UUID(int=3),
    scope=Scope.STAFF_MEMBER,
    state=State.RUNNING,
    owner_id=UUID(int=4),
    requester=b"",
    created_at=REQUESTED,
    cutoff_at=CUTOFF,
    expires_at=None,
    conversations=0,
    messages=0,
)
TEXTS: dict[UUID, list[str | None]] = {
    UUID(int=20): ["Zażółć gęślą jaźń\u2028\n=1+1", None, "ok"],
    UUID(int=21): [],
    UUID(int=22): ["\U0001f600 \x07", "bye"],
}


def conversation_of(id: UUID) -> Conversation:
    return Conversation(
        id=id,
        profile_id=UUID(int=id.int + 100),
        created_at=CUTOFF - timedelta(days=1),
        archivals=[Archival("MERGED_AWAY", UUID(int=9), CUTOFF - timedelta(hours=1), None)],
    )


def messages_of(id: UUID) -> list[Message]:
    return [
        Message(
            id=UUID(int=id.int * 1000 + sequence),
            conversation_id=id,
            sequence=sequence,
            sender_side=Side.STAFF if sequence % 2 else Side.PROFILE,
            text=text,
            sent_at=CUTOFF - timedelta(hours=2, seconds=-sequence),
            deleted_at=CUTOFF + timedelta(minutes=1) if text is None else None,
            read_at=CUTOFF if sequence == 1 else None,
        )
        for sequence, text in enumerate(TEXTS[id], start=1)
    ]


def write_export(folder) -> None:
    draft, marks, counts = Draft(EXPORT.id, folder), {}, []
    with (
        ChainedFile(draft.path(MESSAGES), Mark()) as messages,
        ChainedFile(draft.path(CONVERSATIONS), Mark()) as conversations,
    ):
        for id, texts in TEXTS.items():
            conversation, tombstones = conversation_of(id), texts.count(None)
            for message in messages_of(id):
                messages.add(message_record(message, conversation, staff_id=EXPORT.staff_id))
            told = Told(conversation, len(texts), tombstones)
            conversations.add(
                conversation_record(
                    told, staff_id=EXPORT.staff_id, staff_name="Dr Canary", profile_name="Pat"
                )
            )
            counts.append(Counts(str(id), len(texts), tombstones))
        marks = {MESSAGES: messages.sync(), CONVERSATIONS: conversations.sync()}
    write_manifest(
        draft,
        EXPORT,
        staff_name="Dr Canary",
        marks=marks,
        conversations=counts,
        signer=ManifestSigner(KID, KEY),
    )


@pytest.fixture
def export(tmp_path):
    write_export(tmp_path)
    return tmp_path


def problems(folder) -> set[Problem]:
    return {finding.problem for finding in verify(folder, KEYS)}


def resign(folder) -> None:
    """As whoever had the key would."""
    manifest = (folder / MANIFEST).read_bytes()
    (folder / SIGNATURE).write_bytes(signature_of(manifest, kid=KID, key=KEY))


def rewrite(folder, name, lines) -> None:
    """Replace a file, and have the manifest and its signature agree with the new bytes."""
    path = folder / name
    path.write_bytes(b"".join(lines))
    members = json.loads((folder / MANIFEST).read_bytes())
    members["files"][name] |= {
        "bytes": path.stat().st_size,
        "sha256": hash_of(path.read_bytes()),
        "lines": len(lines),
        "last_line_sha256": hash_of(lines[-1][:-1]),
    }
    text = json.dumps(members, ensure_ascii=False, indent=2) + "\n"
    (folder / MANIFEST).write_text(text)
    resign(folder)


def test_an_untouched_export_is_whole_and_genuine(export):
    assert verify(export, KEYS) == []
    assert sorted(path.name for path in export.iterdir()) == sorted(FILES)


def test_two_runs_write_the_same_bytes(export, tmp_path_factory):
    again = tmp_path_factory.mktemp("again")
    write_export(again)

    for name in FILES:
        assert (again / name).read_bytes() == (export / name).read_bytes()


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_in_any_byte_is_found(export, name):
    whole, unnoticed = (export / name).read_bytes(), []

    with (export / name).open("r+b", buffering=0) as file:
        for place, byte in enumerate(whole):
            os.pwrite(file.fileno(), bytes([byte ^ 1 << place % 8]), place)
            if not verify(export, KEYS):
                unnoticed.append(place)
            os.pwrite(file.fileno(), bytes([byte]), place)

    assert unnoticed == []
    assert verify(export, KEYS) == []


@pytest.mark.parametrize("name", FILES)
def test_a_cut_file_is_found(export, name):
    path = export / name
    path.write_bytes(path.read_bytes()[:-1])

    assert verify(export, KEYS)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_found(export, name):
    (export / name).unlink()

    assert Finding(name, Problem.MISSING) in verify(export, KEYS)


@pytest.mark.parametrize("name", FILES)
def test_a_link_in_the_place_of_a_file_is_not_followed(export, tmp_path_factory, name):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / name
    (export / name).rename(elsewhere)
    (export / name).symlink_to(elsewhere)

    assert Finding(name, Problem.MISSING) in verify(export, KEYS)


def test_a_file_that_does_not_belong_there_is_found(export):
    (export / "read me.txt").write_text("hello")

    assert verify(export, KEYS) == [Finding("read me.txt", Problem.UNEXPECTED)]


def test_a_key_that_was_not_given_signs_nothing(export):
    stranger = Ed25519PrivateKey.generate()
    manifest = (export / MANIFEST).read_bytes()
    (export / SIGNATURE).write_bytes(signature_of(manifest, kid=KID, key=stranger))

    assert problems(export) == {Problem.NOT_SIGNED}
    assert {finding.problem for finding in verify(export, {})} == {Problem.NOT_SIGNED}


def test_a_changed_manifest_is_found(export):
    manifest = (export / MANIFEST).read_text()
    (export / MANIFEST).write_text(manifest.replace("Dr Canary", "Dr Kanary"))

    assert problems(export) == {Problem.NOT_SIGNED}


def test_a_manifest_of_another_version_is_not_guessed_at(export):
    manifest = (export / MANIFEST).read_text()
    (export / MANIFEST).write_text(manifest.replace('"version": 1', '"version": 2'))
    resign(export)

    assert problems(export) == {Problem.NOT_A_MANIFEST}


# Whoever holds the key could sign anything; what is inside has to agree all the same.


def test_changed_places_of_lines_are_found(export):
    first, second, *rest = (export / MESSAGES).read_bytes().splitlines(keepends=True)
    rewrite(export, MESSAGES, [second, first, *rest])

    assert verify(export, KEYS) == [Finding(MESSAGES, Problem.BROKEN_CHAIN, 1)]


def test_a_line_left_out_is_found(export):
    lines = (export / MESSAGES).read_bytes().splitlines(keepends=True)
    rewrite(export, MESSAGES, [*lines[:2], *lines[3:]])

    assert verify(export, KEYS) == [Finding(MESSAGES, Problem.BROKEN_CHAIN, 3)]


def test_a_last_line_left_out_is_found(export):
    lines = (export / MESSAGES).read_bytes().splitlines(keepends=True)
    rewrite(export, MESSAGES, lines[:-1])

    assert problems(export) == {Problem.OTHER_COUNTS}


def chained(records) -> list[bytes]:
    lines, previous = [], "0" * 64
    for record in records:
        line = json.dumps(
            record | {"previous_line_sha256": previous}, ensure_ascii=False, separators=(",", ":")
        ).encode()
        lines.append(line + b"\n")
        previous = hash_of(line)
    return lines


@pytest.mark.parametrize(
    ("line", "change", "problem"),
    [
        (0, {"text": None}, Problem.NOT_A_LINE),
        (1, {"text": "undeleted"}, Problem.NOT_A_LINE),
        (0, {"more": 1}, Problem.NOT_A_LINE),
        (0, {"sequence": 2}, Problem.OUT_OF_ORDER),
        (0, {"conversation_id": str(UUID(int=22))}, Problem.OUT_OF_ORDER),
        (0, {"sent_at": "2026-03-02T08:54:00.000001Z"}, Problem.AFTER_CUTOFF),
        (0, {"read_at": "2026-03-02T08:54:00.000001Z"}, Problem.AFTER_CUTOFF),
        (0, {"sent_at": 7}, Problem.NOT_A_LINE),
        (2, {"text": None, "deleted_at": "2026-03-02T08:00:00.000000Z"}, Problem.OTHER_COUNTS),
    ],
)
def test_a_chained_and_signed_line_that_cannot_be_is_found(export, line, change, problem):
    records = [json.loads(text) for text in (export / MESSAGES).read_bytes().splitlines()]
    records[line] |= change
    rewrite(export, MESSAGES, chained(records))

    assert verify(export, KEYS) == [Finding(MESSAGES, problem, line + 1)]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"messages": 4}, Problem.OTHER_COUNTS),
        ({"staff_id": str(UUID(int=5))}, Problem.NOT_A_LINE),
        ({"conversation_id": str(UUID(int=23))}, Problem.OUT_OF_ORDER),
    ],
)
def test_a_conversation_that_the_manifest_does_not_count_is_found(export, change, problem):
    records = [json.loads(text) for text in (export / CONVERSATIONS).read_bytes().splitlines()]
    records[0] |= change
    rewrite(export, CONVERSATIONS, chained(records))

    assert verify(export, KEYS) == [Finding(CONVERSATIONS, problem, 1)]


@pytest.mark.parametrize(
    "nonsense",
    [
        b"",
        b"[]",
        b"{}",
        b"null",
        b"\xff",
        b"[" * 100_000,
        b'{"files":1}',
        b'{"files":{},"conversations":[1]}',
    ],
)
def test_nonsense_in_any_file_is_a_finding_and_not_an_error(export, nonsense):
    for name in FILES:
        whole = (export / name).read_bytes()
        (export / name).write_bytes(nonsense)

        assert verify(export, KEYS)

        (export / name).write_bytes(whole)


def test_an_endless_line_is_not_read_whole(export):
    rewrite(export, MESSAGES, [b'"' + b"x" * 1_000_000 + b'"\n'])

    assert verify(export, KEYS) == [Finding(MESSAGES, Problem.NOT_A_LINE, 1)]


def test_the_manifest_counts_threads_and_says_what_waits(export):
    members = json.loads((export / MANIFEST).read_bytes())

    assert members["totals"] == {"conversations": 3, "messages": 5, "tombstones": 1}
    assert members["cutoff_at"] == "2026-03-02T08:54:00.000000Z"
    assert "wait for the next export" in members["note"]
    assert decode_manifest((export / MANIFEST).read_bytes()).conversations[1].messages == 0


def test_a_finding_is_a_sentence_for_a_person():
    finding = Finding(MESSAGES, Problem.BROKEN_CHAIN, 3)

    assert str(finding) == "messages.jsonl, line 3, does not carry the hash of the line before"
    assert str(Finding(MANIFEST, Problem.MISSING)).startswith("manifest.json is missing")
