"""A step of the tour holds only if all that was seen is as expected."""

from io import StringIO

import pytest
from rich.console import Console

from services.cli.failures import Failed, Refused
from services.cli.suite import Heard
from services.cli.tour.telling import Narrator, StoryEnded


@pytest.fixture
def console():
    return Console(file=StringIO(), width=100)


@pytest.fixture
def narrator(console):
    return Narrator(console.print)


async def test_calls_and_sights_are_told_with_a_tick(narrator, console):
    async with narrator.step("She sends") as step:
        narrator.heard(Heard("SendMessage", "the practitioner", "", 0.1))
        narrator.heard(Heard("SendMessage", "the practitioner", "", 0.1))
        step.expect(True, "it arrived")

    told = console.file.getvalue()
    assert "✓ She sends" in told
    assert "SendMessage, as the practitioner (2 times)" in told
    assert not narrator.broken


async def test_one_wrong_sight_breaks_the_step(narrator, console):
    async with narrator.step("She sends") as step:
        step.expect(True, "it arrived")
        step.expect(False, "it was read")

    assert "✗ She sends" in console.file.getvalue()
    assert "not so: it was read" in console.file.getvalue()
    assert narrator.broken == ["She sends"]


async def test_a_step_that_checked_nothing_does_not_hold(narrator):
    async with narrator.step("Nothing"):
        pass

    assert narrator.broken == ["Nothing"]


async def test_a_step_that_cannot_be_taken_ends_the_story(narrator):
    with pytest.raises(StoryEnded):
        async with narrator.step("She sends"):
            raise Failed("no mail came")

    assert narrator.broken == ["She sends"]


@pytest.mark.parametrize(
    ("refused", "holds"),
    [
        (Refused("Start", "FAILED_PRECONDITION", "off", "MESSAGING_DISABLED"), True),
        (Refused("Start", "FAILED_PRECONDITION", "off", "MESSAGING_BLOCKED"), False),
        (None, False),
    ],
)
async def test_a_refusal_has_to_be_the_expected_one(narrator, refused, holds):
    async with narrator.step("She starts") as step:
        step.expect_refusal(refused, "MESSAGING_DISABLED")

    assert (not narrator.broken) is holds
