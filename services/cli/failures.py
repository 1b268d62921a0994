"""What goes wrong in a call or before it, as one sentence that says what to do."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import grpc
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from services.chassis.interceptors.status import DETAILS_KEY, error_info

# What grpc.aio says where an answer came while it was still writing the stream of requests.
LOST_BY_CLIENT = "Internal error from Core"


class Failed(Exception):
    """The command cannot go on; the text is for the person who typed it."""


@dataclass(eq=False)
class Refused(Failed):
    """A call that a service answered with a refusal, or that did not reach it."""

    method: str
    code: str
    message: str
    reason: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    retry_after: float | None = None

    @property
    def was_lost(self) -> bool:
        """The client's own library put this in the place of the real answer."""
        return self.message == LOST_BY_CLIENT

    def __str__(self) -> str:
        words = ", ".join(filter(None, (self.code, self.reason)))
        said = f"{self.method} was refused: {self.message.rstrip('.')} ({words}{self._ids()})."
        return f"{said} {advice}" if (advice := self._advice()) else said

    def _ids(self) -> str:
        return "".join(f", {name} {value}" for name, value in sorted(self.metadata.items()))

    def _advice(self) -> str:
        return _ADVICE.get(self.reason) or _ADVICE.get(self.code, "")


def refusal(method: str, error: grpc.aio.AioRpcError) -> Refused:
    """What a failed call means."""
    info = error_info(error)
    message = error.details() or "no further words"
    if info is None and error.code() is grpc.StatusCode.UNAVAILABLE:
        message = "the service cannot be reached"
    return Refused(
        method=method,
        code=error.code().name,
        message=message,
        reason="" if info is None else info.reason,
        metadata={} if info is None else dict(info.metadata),
        retry_after=_retry_after(error),
    )


def _retry_after(error: grpc.aio.AioRpcError) -> float | None:
    """The seconds of the RetryInfo that came with the refusal, if one did."""
    for key, value in error.trailing_metadata() or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            return _seconds_in(value)
    return None


def _seconds_in(trailer: bytes) -> float | None:
    info = RetryInfo()
    try:
        if any(detail.Unpack(info) for detail in Status.FromString(trailer).details):
            return float(info.retry_delay.ToTimedelta().total_seconds())
    except DecodeError:
        pass
    return None


# By reason, else by code: what the person can do.
_ADVICE = {
    "UNAVAILABLE": "Is the suite running? `make run` starts it; then try again.",
    "DEADLINE_EXCEEDED": "It may have happened all the same: look before you try again.",
    "UNAUTHENTICATED": "Are the keys those of this suite? Name their directory with CLINIC_KEYS.",
    "SESSION_ENDED": "Sign in again: `clinic token` makes a new one.",
    "ROLE_NOT_ALLOWED": "This is for another kind of caller; choose one with --as.",
    "CLINIC_REQUIRED": "Name the clinic with --clinic.",
    "CLINIC_NOT_FOUND": "Name the clinic with --clinic; `clinic demo-clinic` makes one to try.",
    "STAFF_MEMBER_NOT_FOUND": "Is the id of this clinic? Name another one with --clinic.",
    "PROFILE_NOT_FOUND": "Is the id of this clinic? `clinic people NAME` finds profiles.",
    "CONVERSATION_NOT_FOUND": "`clinic inbox` lists the conversations that this person sees.",
    "DEVICE_NOT_FOUND": "`clinic devices` lists those of this person.",
    "MERGE_NOT_FOUND": "`clinic merges` lists them.",
    "MERGE_UNDONE": "There is nothing left to undo; `clinic merges` lists those in force.",
    "MESSAGING_DISABLED": "Somebody with full access can change it: `clinic policy allowed`.",
    "MESSAGING_BLOCKED": "Somebody with full access can lift the block on this profile.",
    "RECIPIENT_DO_NOT_EMAIL": "Reach this person in another way.",
    "CONVERSATION_ARCHIVED": "Write to the surviving profile instead.",
    "CONVERSATION_READ_ONLY": "`clinic reactivate` takes the deactivation back.",
    "PROFILE_MERGED": "`clinic unmerge` undoes the merge.",
    "STAFF_INACTIVE": "`clinic reactivate` takes the deactivation back.",
    "PATIENT_CANNOT_INITIATE": "A staff member has to start the conversation.",
    "FULL_ACCESS_REQUIRED": "Act as the Account Owner or as somebody with full access.",
    "STANDARD_ACCESS_REQUIRED": "Act as somebody with standard or full access.",
    "OWNER_REQUIRED": "Only the Account Owner may do this.",
    "RATE_LIMITED": "Wait a moment and try again.",
    "OVERLOADED": "Wait a moment and try again.",
    "ETAG_STALE": "Somebody changed it meanwhile: look again, then decide again.",
    "DEAD_LETTER_NOT_FOUND": "`clinic ops dead-letters list` shows those there are.",
    "UNIMPLEMENTED": "This build of the service does not serve it.",
    "INTERNAL": "The correlation id finds it in the service's log.",
}
