"""The only ways from an id in a request to an object."""

from uuid import UUID

from services.chassis.identity import Caller
from services.conversations.domain.conversation import Conversation
from services.conversations.domain.errors import Unconfirmed
from services.conversations.domain.people import People
from services.conversations.domain.writing import reachable, side_of
from services.conversations.storage.unit_of_work import Transaction


async def access_conversation(
    tx: Transaction, conversation_id: UUID, *, lock: bool = False
) -> tuple[Conversation, People]:
    """The thread, to a participant who may see it, with what the rules ask of its people.

    Raises ConversationNotFound: absent, not yours and merged away look alike (R32, R49).
    """
    return let_through(await tx.conversations.get(conversation_id, lock=lock), tx.caller)


def let_through(
    found: tuple[Conversation, People | None] | None, caller: Caller
) -> tuple[Conversation, People]:
    """What was found, to a participant who may see it; raises as `access_conversation`."""
    conversation, people = found or (None, None)
    try:
        return reachable(conversation, people, caller=caller, side=side_of(caller))
    except Unconfirmed as hidden:
        raise hidden.refusal from None


async def way_to_survivor(tx: Transaction, staff_id: UUID, profile_id: UUID) -> dict[str, str]:
    """The metadata of a refusal for a merged-away profile: who survives, and the live thread."""
    survivor_id = await tx.people.survivor_of(profile_id)
    if survivor_id is None:
        return {}
    live_id = await tx.conversations.id_of_pair(staff_id, survivor_id)
    live = {} if live_id is None else {"surviving_conversation_id": str(live_id)}
    return {"surviving_profile_id": str(survivor_id)} | live
