"""What each side may see, held against the files."""

from collections import Counter
from collections.abc import Collection, Sequence

from clinic.conversations.v1 import conversation_pb2, message_pb2
from services.cli.actor import Actor
from services.cli.failures import Failed, Refused
from services.cli.mailbox import Mail
from services.cli.replay.population import Scene, side_by_side
from services.cli.sessions import Side

_SIDES = {Side.STAFF: message_pb2.SIDE_STAFF, Side.PROFILE: message_pb2.SIDE_PROFILE}
_HIDDEN = frozenset({"SESSION_ENDED", "CONVERSATION_NOT_FOUND"})


async def compare(scenes: Sequence[Scene], *, merged: Collection[str] = ()) -> list[str]:
    """What is not as the files say; `merged` are the profiles that are merged away now.

    The staff side always reads everything. A patient's side reads everything too, but nothing
    where its profile is merged away.
    """

    async def differences(scene: Scene) -> list[str]:
        hidden = scene.patient.id in merged
        found = await _reads(scene, scene.staff, archived=hidden)
        if hidden:
            return [*found, *await _hidden(scene, scene.patient)]
        return [*found, *await _reads(scene, scene.patient, archived=False)]

    return [each for found in await side_by_side(differences, scenes) for each in found]


async def read_all(scenes: Sequence[Scene]) -> list[str]:
    """Both sides read everything: as much was unread as the other side said, then nothing is."""

    async def differences(scene: Scene) -> list[str]:
        found = []
        for reader, other in ((scene.staff, Side.PROFILE), (scene.patient, Side.STAFF)):
            found.extend(await _read(scene, reader, scene.dialogue.said_by(other)))
        return found

    found = [each for found in await side_by_side(differences, scenes) for each in found]
    people = {actor.id: actor for scene in scenes for actor in (scene.staff, scene.patient)}
    badges = await side_by_side(Actor.badge, list(people.values()))
    return found + [f"somebody's badge is {badge} after reading" for badge in badges if badge]


def compare_mails(scenes: Sequence[Scene], mails: Sequence[Mail]) -> list[str]:
    """A mail for each staff message, and no other mail to these people."""
    sent = Counter(mail.conversation_id for mail in mails)
    found = [
        f"dialogue {scene.dialogue.id}: {sent[scene.conversation_id]} mails for "
        f"{scene.dialogue.said_by(Side.STAFF)} staff messages"
        for scene in scenes
        if sent[scene.conversation_id] != scene.dialogue.said_by(Side.STAFF)
    ]
    others = len(mails) - sum(sent[scene.conversation_id] for scene in scenes)
    return [*found, f"{others} mails are about no dialogue"] if others else found


async def out_of_reach(scenes: Sequence[Scene], somebody: Actor) -> list[str]:
    """These conversations do not exist for somebody else."""
    found = [each for scene in scenes for each in await _hidden(scene, somebody)]
    return [f"{each} (from another profile)" for each in found]


async def _reads(scene: Scene, reader: Actor, *, archived: bool) -> list[str]:
    place = f"dialogue {scene.dialogue.id}, read by {reader.person.side}"
    if not scene.conversation_id:
        return [f"{place}: it was never started"]
    try:
        conversation = await reader.conversation(scene.conversation_id)
        messages = await reader.messages(scene.conversation_id)
    except Failed as failed:
        return [f"{place}: {failed}"]
    found = _text_differences(scene, messages)
    if _is_merged_away(conversation) != archived or conversation.can_write == archived:
        found.append("it is archived" if not archived else "it is not archived")
    return [f"{place}: {each}" for each in found]


def _text_differences(scene: Scene, messages: Sequence[message_pb2.Message]) -> list[str]:
    turns = scene.dialogue.turns
    found = [
        f"message {number} differs"
        for number, (message, turn) in enumerate(zip(messages, turns, strict=False), start=1)
        if (message.sequence, message.sender_side, message.body.encode())
        != (number, _SIDES[turn.side], turn.text.encode())
    ]
    if len(messages) != len(turns):
        found.append(f"{len(messages)} messages instead of {len(turns)}")
    return found


def _is_merged_away(conversation: conversation_pb2.Conversation) -> bool:
    merged_away = conversation_pb2.ARCHIVE_CAUSE_MERGED_AWAY
    return any(each.cause == merged_away for each in conversation.archive_reasons)


async def _hidden(scene: Scene, somebody: Actor) -> list[str]:
    if not scene.conversation_id:
        return []
    for refused in (
        await somebody.cannot_see(scene.conversation_id),
        await somebody.cannot_read(scene.conversation_id),
    ):
        if not _is_hidden(refused):
            return [f"dialogue {scene.dialogue.id}: {somebody.person.side} still reaches it"]
    return []


def _is_hidden(refused: Refused | None) -> bool:
    return refused is not None and refused.reason in _HIDDEN


async def _read(scene: Scene, reader: Actor, expected: int) -> list[str]:
    place = f"dialogue {scene.dialogue.id}, read by {reader.person.side}"
    try:
        unread = (await reader.conversation(scene.conversation_id)).unread_count
        left = await reader.mark_read(scene.conversation_id, len(scene.dialogue.turns))
    except Failed as failed:
        return [f"{place}: {failed}"]
    found = [f"{place}: {unread} unread instead of {expected}"] if unread != expected else []
    return [*found, f"{place}: {left} unread after reading"] if left else found
