"""Half an export is never taken for a whole one, whatever dies when."""

from uuid import UUID, uuid4

import pytest

from services.chassis.settings import RefusedToStart
from services.export.domain.job import Mark
from services.export.formats.lines import ChainedFile
from services.export.formats.shelf import Shelf
from services.export_format.layout import FILES, MESSAGES, hash_of

EXPORT = UUID(int=1)


@pytest.fixture
def shelf(tmp_path):
    return Shelf(tmp_path / "exports")


def draft_of(shelf, *, text=b"hello"):
    draft = shelf.open_draft(EXPORT, uuid4())
    for name in FILES:
        draft.write(name, text)
    return draft


def content(shelf):
    with shelf.opened(EXPORT) as files:
        return {name: file.read() for name, file in files}


def test_a_draft_is_no_export_until_it_is_published(shelf):
    draft = draft_of(shelf)
    before = shelf.holds(EXPORT)
    shelf.publish(draft)

    assert (before, shelf.holds(EXPORT)) == (False, True)
    assert content(shelf) == dict.fromkeys(FILES, b"hello")


def test_a_second_attempt_that_finishes_changes_nothing(shelf):
    first, second = draft_of(shelf), draft_of(shelf, text=b"late")
    shelf.publish(first)
    shelf.open_draft(EXPORT, uuid4())
    second.folder.mkdir(exist_ok=True)
    second.write(MESSAGES, b"late")
    shelf.publish(second)

    assert content(shelf)[MESSAGES] == b"hello"
    assert not second.folder.exists()


def test_files_are_for_the_services_own_user_only(shelf):
    draft = draft_of(shelf)

    assert draft.folder.stat().st_mode & 0o777 == 0o700
    assert {draft.path(name).stat().st_mode & 0o777 for name in FILES} == {0o600}


def test_what_an_earlier_attempt_left_is_copied_as_far_as_it_is_safe(shelf):
    earlier_lease = uuid4()
    earlier = shelf.open_draft(EXPORT, earlier_lease)
    earlier.write(MESSAGES, b"safe and not safe")
    draft = shelf.open_draft(EXPORT, uuid4())

    taken = shelf.take_over(draft, earlier_lease, MESSAGES, Mark(4, 1, ""))
    earlier.write(MESSAGES, b"written by the dead")

    assert taken
    assert draft.path(MESSAGES).read_bytes() == b"safe"


@pytest.mark.parametrize("left", [b"saf", None])
def test_an_attempt_that_left_less_than_it_said_is_not_gone_on_with(shelf, left):
    earlier_lease = uuid4()
    earlier = shelf.open_draft(EXPORT, earlier_lease)
    if left is not None:
        earlier.write(MESSAGES, left)
    draft = shelf.open_draft(EXPORT, uuid4())

    assert not shelf.take_over(draft, earlier_lease, MESSAGES, Mark(4, 1, ""))


def test_an_export_that_is_removed_while_it_is_read_is_read_to_its_end(shelf):
    shelf.publish(draft_of(shelf))

    with shelf.opened(EXPORT) as files:
        shelf.remove(EXPORT)
        read = [file.read() for _, file in files]

    assert read == [b"hello"] * 4
    assert shelf.export_ids() == set()


def test_only_what_is_an_export_is_looked_at(shelf, tmp_path):
    (tmp_path / "exports" / "notes").mkdir()
    draft_of(shelf)

    assert shelf.export_ids() == {EXPORT}


def test_a_place_that_cannot_be_made_keeps_the_service_from_starting(tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(RefusedToStart):
        Shelf(tmp_path / "file" / "exports")


def test_lines_go_on_from_a_mark_as_if_they_had_never_stopped(tmp_path):
    records = [{"n": n} for n in range(5)]
    with ChainedFile(tmp_path / "whole", Mark()) as whole:
        for record in records:
            whole.add(record)
        expected = whole.sync()

    with ChainedFile(tmp_path / "resumed", Mark()) as file:
        for record in records[:2]:
            file.add(record)
        mark = file.sync()
        file.add({"n": "lost"})
    with ChainedFile(tmp_path / "resumed", mark) as file:
        for record in records[2:]:
            file.add(record)
        assert file.sync() == expected

    whole_bytes = (tmp_path / "whole").read_bytes()
    assert (tmp_path / "resumed").read_bytes() == whole_bytes
    assert expected.link == hash_of(whole_bytes.splitlines()[-1])
