"""The person is still there."""

from dataclasses import dataclass

from services.chassis.errors import SessionEnded
from services.chassis.identity import Caller
from services.directory.domain.session import Session, is_worth_writing
from services.directory.storage.unit_of_work import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class TouchSession:
    caller: Caller


async def touch_session(tx: Transaction, command: TouchSession) -> Session:
    """Move the last activity of the token's session; at most one write a minute."""
    assert tx.caller.session_id is not None
    session = await tx.sessions.get(tx.caller.session_id)
    if session is not None and not is_worth_writing(session, now=tx.now):
        return session
    touched = await tx.sessions.touch(tx.caller.session_id, now=tx.now)
    if touched is None:
        raise SessionEnded("This session has ended; sign in again")
    await tx.publish(touched)
    return touched
