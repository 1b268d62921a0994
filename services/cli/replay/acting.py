"""Dialogues turn by turn, each side by itself, through the public calls."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, timedelta

from services.cli.failures import Failed
from services.cli.replay.dialogues import Turn
from services.cli.replay.numbers import Measured
from services.cli.replay.population import Scene, side_by_side
from services.cli.replay.post import Post
from services.cli.sessions import Side

_MAIL_WITHIN = timedelta(seconds=60)


@dataclass
class Stage:
    """What the dialogues are played on, and what comes of them.

    After each staff message its mail is awaited: mails of one conversation that wait at the same
    time become one (I42), and what was read before is not mailed.
    """

    post: Post
    spoken: Callable[[], None]
    measured: Measured = field(default_factory=Measured)
    differences: list[str] = field(default_factory=list)

    async def play(self, scenes: list[Scene], *, at_once: int) -> None:
        began = time.perf_counter()
        await side_by_side(self._play_or_tell, scenes, at_once=at_once)
        self.measured.seconds = time.perf_counter() - began

    async def _play_or_tell(self, scene: Scene) -> None:
        """A dialogue that breaks off does not keep the others from going on."""
        try:
            await self._play(scene)
        except Failed as failed:
            self.differences.append(f"dialogue {scene.dialogue.id} broke off: {failed}")

    async def _play(self, scene: Scene) -> None:
        scene.conversation_id = (await scene.staff.start(scene.patient.id)).conversation_id
        for turn in scene.dialogue.turns:
            await self._say(scene, turn)
            self.spoken()

    async def _say(self, scene: Scene, turn: Turn) -> None:
        speaker = scene.staff if turn.side is Side.STAFF else scene.patient
        began = time.perf_counter()
        message = await speaker.send(scene.conversation_id, turn.text)
        self.measured.sends.append(time.perf_counter() - began)
        if turn.side is Side.STAFF:
            mail = await self.post.next(scene.conversation_id, within=_MAIL_WITHIN)
            sent_at = message.send_time.ToDatetime(tzinfo=UTC)
            self.measured.mails.append((mail.received_at - sent_at).total_seconds())
            if [each.casefold() for each in mail.recipients] != [scene.patient.email.casefold()]:
                self.differences.append(
                    f"a mail about dialogue {scene.dialogue.id} went to somebody else"
                )
