"""Why somebody did or did not get a message, as the sender and the support team may know it."""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Mapping
from typing import Any

from clinic.conversations.v1 import conversations_internal_service_pb2 as internal_pb
from clinic.conversations.v1 import conversations_service_pb2 as pb
from clinic.conversations.v1.delivery_cause_pb2 import DeliveryCause
from clinic.notifications.v1 import delivery_pb2
from services.cli.failures import Failed
from services.cli.output import Row, Told, as_data, named, table, when, word
from services.cli.parsing import Commands, add_clinic, add_person, command
from services.cli.session import Session

_OTHER = "This command does not know the cause; a newer one does."
_TELLS: Mapping[int, str] = {
    DeliveryCause.KIND_UNSPECIFIED: _OTHER,
    DeliveryCause.KIND_IN_CONVERSATION: "It stands in the conversation, and they can open it.",
    DeliveryCause.KIND_NO_MESSAGE: "Nothing was ever sent; the patient sees no conversation.",
    DeliveryCause.KIND_PROFILE_MERGED: "The profile was merged away and opens nothing; into:",
    DeliveryCause.KIND_STAFF_INACTIVE: "The staff member has left; nobody can write.",
    DeliveryCause.KIND_MESSAGING_DISABLED: "The clinic has messaging off; nobody can write.",
    DeliveryCause.KIND_MESSAGING_BLOCKED: "Messaging is blocked for them; nobody can write.",
    DeliveryCause.KIND_RECIPIENT_DO_NOT_EMAIL: "They are marked Do Not Email; staff cannot write.",
    DeliveryCause.KIND_MESSAGE_DELETED: "Its sender deleted it.",
    DeliveryCause.KIND_MESSAGE_READ: "They read it.",
    DeliveryCause.KIND_NOTIFICATIONS_UNREACHABLE: (
        "What became of mail and push cannot be told now; ask again."
    ),
    DeliveryCause.KIND_LIKELY_DUPLICATE: "This profile may be the same person:",
    DeliveryCause.KIND_MAIL_NOT_ARRIVING: "Mail is not reaching them; the conversation is.",
    DeliveryCause.KIND_SIGNED_IN_AT_ARRIVAL: "They were signed in when it arrived.",
    DeliveryCause.KIND_NOT_SIGNED_IN_AT_ARRIVAL: "They were not signed in when it arrived.",
    DeliveryCause.KIND_SIGNED_IN_LAST: "Somebody signed in last to:",
    DeliveryCause.KIND_NEVER_SIGNED_IN: "Nobody ever signed in to this profile.",
}


def add(commands: Commands) -> None:
    parser = command(
        commands,
        "explain",
        explain,
        help="say why somebody did or did not get a message, what weighs most first",
        examples=[
            "clinic explain 0199d1a0-… --as practitioner",
            "clinic explain 0199d1a0-… 3 --as practitioner",
            "clinic explain --of 0199d1a0-… --as practitioner",
        ],
    )
    _add_subject(parser)
    add_person(parser)


def add_ops(ops: Commands) -> Commands:
    """The same for any conversation of a clinic. Returns the family, so that others can join it."""
    parser = command(
        ops,
        "explain",
        investigate,
        help="say why somebody did or did not get a message; audited",
        examples=["clinic ops explain 0199d1a0-… 3", "clinic ops explain --of 0199d1a0-…"],
    )
    _add_subject(parser)
    add_clinic(parser)
    return ops


def _add_subject(parser: ArgumentParser) -> None:
    parser.add_argument("conversation", nargs="?", default="", metavar="CONVERSATION")
    parser.add_argument(
        "sequence",
        nargs="?",
        type=int,
        default=0,
        metavar="NUMBER",
        help="of the message; the last one unless given",
    )
    parser.add_argument(
        "--of", default="", metavar="PROFILE", help="whom no conversation was started with"
    )


async def explain(session: Session, arguments: Namespace) -> Told:
    request = pb.ExplainDeliveryRequest(**_subject(arguments))
    async with session.caller(arguments) as caller:
        answer = await caller.call(session.suite.conversations.ExplainDelivery, request)
    return told_of(answer.causes)


async def investigate(session: Session, arguments: Namespace) -> Told:
    request = internal_pb.InvestigateDeliveryRequest(**_subject(arguments))
    ops = session.desk.ops(session.clinic_of(arguments))
    stub = session.suite.conversations_internal.InvestigateDelivery
    return told_of((await ops.call(stub, request)).causes)


def _subject(arguments: Namespace) -> dict[str, Any]:
    """The fields that say of what. Raises Failed where they are neither or both."""
    if bool(arguments.conversation) == bool(arguments.of):
        raise Failed("Say of what: a CONVERSATION, or --of PROFILE where none was started.")
    return {
        "conversation_id": arguments.conversation,
        "sequence": arguments.sequence,
        "profile_id": arguments.of,
    }


def told_of(causes: Iterable[DeliveryCause]) -> Told:
    """Causes in their order."""
    listed = list(causes)
    rows = [_row(number, each) for number, each in enumerate(listed, start=1)]
    shown = table(("", "cause", "when"), rows, empty="Nothing stands in the way.")
    return Told([as_data(each) for each in listed], shown)


def _row(number: int, cause: DeliveryCause) -> Row:
    if cause.HasField("delivery"):
        delivery = cause.delivery
        time = when(delivery.send_time) or when(delivery.decide_time)
        return (str(number), named(_of_delivery(delivery), delivery.delivery_id), time)
    ids = [cause.related_profile_id] if cause.related_profile_id else []
    told = _TELLS.get(cause.kind, _OTHER)
    return (str(number), named(told, *ids), when(cause.cause_time))


def _of_delivery(delivery: delivery_pb2.Delivery) -> str:
    """`Email: skipped (signed in)`, and what the provider reported of what went out."""
    channel = word(delivery_pb2.Channel.Name(delivery.channel), "CHANNEL_")
    state = word(delivery_pb2.DeliveryState.Name(delivery.state), "DELIVERY_STATE_")
    reason = word(delivery_pb2.DeliveryReason.Name(delivery.reason), "DELIVERY_REASON_")
    log = word(delivery_pb2.ProviderState.Name(delivery.provider_state), "PROVIDER_STATE_")
    said = f"{state} ({reason})" if reason else state
    further = "" if log in ("", "unsent", "sent") else f", {log}"
    return f"{channel.capitalize()}: {said}{further}"
