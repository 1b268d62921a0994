"""A sign-out, one's own or one that somebody with the right to it decides on."""

from dataclasses import dataclass
from uuid import UUID

from services.chassis.errors import SessionEnded
from services.chassis.identity import Caller
from services.directory.domain.session import EndCause, Session, person_of
from services.directory.storage.unit_of_work import Transaction
from services.directory.usecases.access import access_session


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseSession:
    """`session_id` None: the session of the caller's token."""

    caller: Caller
    session_id: UUID | None


async def close_session(tx: Transaction, command: CloseSession) -> Session:
    """An ended session stays as it ended: signing out twice is signing out.

    Works on the token's own session whether or not it is alive, on any other only while it is:
    so it runs outside the check of sessions. Raises SessionEnded or SessionNotFound.
    """
    own = await _own_session(tx)
    closes_own = command.session_id in (None, own.id)
    if not (closes_own or own.open):
        raise SessionEnded("This session has ended; sign in again")
    session = own if closes_own else await access_session(tx, command.session_id or own.id)
    cause = EndCause.LOGOUT if closes_own else EndCause.REVOKED
    ended = await tx.sessions.end(session.id, cause=cause, now=tx.now)
    if ended is None:
        session = await access_session(tx, session.id)
        await tx.remind(session)
        return session
    await tx.note("close_session", "session", session.id)
    await tx.announce(ended)
    return ended


async def _own_session(tx: Transaction) -> Session:
    assert tx.caller.session_id is not None
    session = await tx.sessions.get(tx.caller.session_id)
    if session is None or session.person != person_of(tx.caller):
        raise SessionEnded("This session is not known; sign in again")
    return session
