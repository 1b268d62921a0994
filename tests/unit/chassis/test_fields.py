"""REQUIRED fields are there, however deep; all that is missing is named at once."""

import pytest

from services.chassis.interceptors.fields import check_required
from services.chassis.interceptors.status import FieldRequired
from tests.support.grpc_world import echo_pb2


def a_request(**changes: object):
    """A message with every required field; a change to None takes one away."""
    part = echo_pb2.Part(id="p")
    values = {
        "text": "t",
        "number": 1,
        "flag": True,
        "choice": 1,
        "words": ["w"],
        "part": part,
        "count": 1,
    } | changes
    return echo_pb2.Demanding(**{k: v for k, v in values.items() if v is not None})


def missing(request) -> tuple[str, ...]:
    with pytest.raises(FieldRequired) as refused:
        check_required(request)
    return refused.value.fields


def test_a_complete_request_passes():
    check_required(a_request())


@pytest.mark.parametrize("field", ["text", "number", "choice", "words", "part", "count"])
def test_a_missing_field_is_named(field):
    assert missing(a_request(**{field: None})) == (field,)


def test_all_that_is_missing_is_named_at_once():
    assert missing(echo_pb2.Demanding()) == ("text", "number", "choice", "words", "part", "count")


def test_no_is_an_answer():
    check_required(a_request(flag=False))


def test_a_zero_that_was_set_is_there():
    check_required(a_request(count=0))


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"part": echo_pb2.Part()}, "part.id"),
        ({"parts": [echo_pb2.Part(id="a"), echo_pb2.Part()]}, "parts[1].id"),
        ({"by_name": {"Jane": echo_pb2.Part()}}, "by_name[].id"),
        ({"right": echo_pb2.Part()}, "right.id"),
        ({"again": a_request(text=None)}, "again.text"),
        ({"again": a_request(again=a_request(part=echo_pb2.Part()))}, "again.again.part.id"),
    ],
)
def test_a_field_missing_within_is_named_by_its_path(changes, path):
    assert missing(a_request(**changes)) == (path,)


def test_what_is_not_there_demands_nothing_within():
    check_required(a_request(left="x"))


def test_the_names_told_are_bounded():
    assert len(missing(a_request(parts=[echo_pb2.Part()] * 100))) == 20
