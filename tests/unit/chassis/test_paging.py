"""A page token continues the list it was made for, for whom it was made, and nothing else."""

import base64
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from services.chassis.errors import InvalidArgument
from services.chassis.identity import Caller, Role, calling
from services.chassis.paging import PageTokenInvalid, PageTokens, page_size

KEY = bytes(range(32))


def a_caller() -> Caller:
    person = uuid4()
    return Caller(
        role=Role.STAFF,
        name=str(person),
        clinic_id=uuid4(),
        expires_at=datetime(2030, 1, 1, tzinfo=UTC),
        person_id=person,
        session_id=uuid4(),
    )


@pytest.fixture
def caller():
    caller = a_caller()
    with calling(caller):
        yield caller


@pytest.fixture
def tokens():
    return PageTokens(KEY)


def test_a_token_gives_back_the_cursor_of_its_query(caller, tokens):
    token = tokens.seal("profiles active", ("Åström", 17))

    assert tokens.open(token, "profiles active") == ("Åström", 17)


def test_no_token_asks_for_the_first_page(caller, tokens):
    assert tokens.open("", "profiles") is None


def test_another_process_with_the_same_key_continues(caller, tokens):
    token = tokens.seal("profiles", (1,))

    assert PageTokens(KEY).open(token, "profiles") == (1,)


def test_a_token_does_not_show_its_cursor(caller, tokens):
    token = tokens.seal("profiles", ("Abernathy",))

    assert b"Abernathy" not in base64.urlsafe_b64decode(token + "==")


def test_another_query_refuses_the_token(caller, tokens):
    token = tokens.seal("profiles active", (1,))

    with pytest.raises(PageTokenInvalid):
        tokens.open(token, "profiles archived")


def test_another_key_refuses_the_token(caller, tokens):
    token = tokens.seal("profiles", (1,))

    with pytest.raises(PageTokenInvalid):
        PageTokens(bytes(32)).open(token, "profiles")


def test_another_actor_of_the_clinic_refuses_the_token(caller, tokens):
    token = tokens.seal("profiles", (1,))

    with calling(replace(caller, name=str(uuid4()))), pytest.raises(PageTokenInvalid):
        tokens.open(token, "profiles")


def test_the_same_actor_for_another_clinic_refuses_the_token(caller, tokens):
    token = tokens.seal("profiles", (1,))

    with calling(replace(caller, clinic_id=uuid4())), pytest.raises(PageTokenInvalid):
        tokens.open(token, "profiles")


@pytest.mark.parametrize("change", ["flip", "cut", "add"])
def test_a_changed_token_is_refused(caller, tokens, change):
    token = tokens.seal("profiles", (1,))
    changed = {
        "flip": token[:-2] + ("A" if token[-2] != "A" else "B") + token[-1],
        "cut": token[:-4],
        "add": token + "AAAA",
    }[change]

    with pytest.raises(PageTokenInvalid):
        tokens.open(changed, "profiles")


@pytest.mark.parametrize("token", ["x", "not base64 at all", "é", "AAAA", "A" * 100_000, "\x00"])
def test_what_never_was_a_token_is_refused(caller, tokens, token):
    with pytest.raises(PageTokenInvalid) as refused:
        tokens.open(token, "profiles")

    assert refused.value.reason == "PAGE_TOKEN_INVALID"


@pytest.mark.parametrize(("requested", "given"), [(0, 50), (1, 1), (200, 200), (201, 200)])
def test_a_page_has_a_default_and_a_cap(requested, given):
    assert page_size(requested) == given


def test_a_negative_page_size_is_refused():
    with pytest.raises(InvalidArgument) as refused:
        page_size(-1)

    assert refused.value.field == "page_size"
