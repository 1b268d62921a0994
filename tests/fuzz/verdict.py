"""What no answer may be, whatever was asked (R33, R34, P8, P11, P15)."""

import re
from collections.abc import Iterable

import grpc

from clinic.conversations.v1 import error_reason_pb2 as conversations_reasons
from clinic.directory.v1 import error_reason_pb2 as directory_reasons
from clinic.export.v1 import error_reason_pb2 as export_reasons
from clinic.notifications.v1 import error_reason_pb2 as notifications_reasons
from clinic.operations.v1 import error_reason_pb2 as operations_reasons
from tests.support.rpcs import Answer, Rpc

# Faults of ours, and what would make a client repeat for ever what can never succeed.
_NEVER = frozenset(
    {
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.DATA_LOSS,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
    }
)
# gRPC's own answer to a message that is too large has no ErrorInfo.
_OWN_OF_GRPC = frozenset({grpc.StatusCode.RESOURCE_EXHAUSTED})
_REASONS = {
    "directory": directory_reasons,
    "conversations": conversations_reasons,
    "notifications": notifications_reasons,
    "export": export_reasons,
}
_OF_AN_EXCEPTION = re.compile(
    rb"Traceback|Error[:(]|Exception|psycopg|sqlalchemy|File \"|object at 0x|NoneType|site-packages"
    rb"|select .* from|insert into|UUID\(|codec can't|argument must"
)


def complaints(answer: Answer, rpc: Rpc, *, hidden: Iterable[str]) -> list[str]:
    """`hidden` are words that may be in no byte of the answer."""
    found = []
    if answer.code in _NEVER:
        found.append(f"{answer.code.name}: {answer.message}")
    if answer.code is not grpc.StatusCode.OK:
        found += _of_refusal(answer, rpc)
    else:
        found += _of_success(answer, rpc)
    everything = answer.everything
    found += [f"tells {word}" for word in hidden if word.encode() in everything]
    return found


def _of_refusal(answer: Answer, rpc: Rpc) -> list[str]:
    if _OF_AN_EXCEPTION.search(answer.everything):
        return [f"an exception's text: {answer.message}"]
    info = answer.info
    if info is None:
        return [] if answer.code in _OWN_OF_GRPC else [f"no ErrorInfo: {answer.message}"]
    known = {*_REASONS[rpc.service].ErrorReason.keys(), *operations_reasons.ErrorReason.keys()}
    if f"ERROR_REASON_{info.reason}" not in known or info.domain != f"{rpc.service}.clinic":
        return [f"unknown reason {info.reason} of {info.domain}"]
    return []


def _of_success(answer: Answer, rpc: Rpc) -> list[str]:
    for body in answer.responses:
        rpc.response.FromString(body)  # raises where it is none
    return []
