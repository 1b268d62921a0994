"""The tour from its first step to its last."""

from rich.text import Text

from services.cli.mailbox import Mailbox
from services.cli.sessions import Desk
from services.cli.suite import Suite
from services.cli.tour import exporting, leaving, merging, replies, thread
from services.cli.tour.cast import Stage
from services.cli.tour.telling import Narrator, Show, StoryEnded


async def tell_story(suite: Suite, *, show: Show) -> Narrator:
    """Play it on a suite; every step was shown when this returns."""
    narrator = Narrator(show)
    desk = Desk(suite, heard=narrator.heard)
    stage = Stage(suite, desk, Mailbox(suite.places.mailbox), narrator)
    try:
        await _play(stage)
    except StoryEnded:
        show(Text("\nThe rest of the story depends on this step, so it ends here.", style="red"))
    return narrator


async def _play(stage: Stage) -> None:
    cast = await thread.open_clinic(stage)
    await thread.switch_on(stage, cast)
    conversation, _, mail = await thread.write_first(stage, cast)
    id = conversation.conversation_id
    await thread.follow_link(stage, cast, mail)
    await replies.read_and_answer(stage, cast, id)
    await replies.take_back(stage, cast, id)
    await replies.keep_out(stage, cast, id)
    await merging.merge_and_undo(stage, cast)
    await leaving.leave(stage, cast, id)
    await exporting.hand_over(stage, cast)
