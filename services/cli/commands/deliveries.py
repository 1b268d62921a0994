"""What the support team does about mail and push: what became of them, suppressions, retries."""

from argparse import Namespace

from rich.console import Group

from clinic.notifications.v1 import delivery_pb2, suppression_pb2
from clinic.notifications.v1 import notifications_internal_service_pb2 as pb
from services.chassis.ids import uuid7
from services.cli.failures import Failed
from services.cli.output import Row, Told, as_data, lines, named, plain, table, when, word
from services.cli.parsing import Commands, add_clinic, command
from services.cli.session import Session

_PAGE = 200


def add(ops: Commands) -> Commands:
    """Returns the family, so that others can join it."""
    parser = command(
        ops,
        "deliveries",
        deliveries,
        help="list what became of the mails and pushes about a conversation or to somebody",
        examples=["clinic ops deliveries --conversation 0199d1a0-…"],
    )
    parser.add_argument("--conversation", default="", metavar="ID")
    parser.add_argument("--recipient", default="", metavar="ID", help="staff member or profile")
    add_clinic(parser)
    parser = command(
        ops,
        "retry",
        retry,
        help="try once more to tell somebody of a message",
        examples=["clinic ops retry 0199d1a0-…", "clinic ops retry 0199d1a0-… --may-arrive-twice"],
    )
    parser.add_argument("delivery_id", metavar="DELIVERY")
    parser.add_argument(
        "--may-arrive-twice",
        action="store_true",
        help="also one that may have arrived, for the provider never said",
    )
    add_clinic(parser)
    _add_suppressions(ops)
    return ops


def _add_suppressions(ops: Commands) -> None:
    parser = command(
        ops,
        "suppressions",
        suppressions,
        help="list addresses that are mailed no more, for mail came back or was complained about",
        examples=["clinic ops suppressions", "clinic ops suppressions --recipient 0199d1a0-…"],
    )
    parser.add_argument("--recipient", default="", metavar="ID", help="staff member or profile")
    parser.add_argument("--lifted", action="store_true", help="also those in force no more")
    add_clinic(parser)
    parser = command(
        ops,
        "lift",
        lift,
        help="have a suppressed address mailed again",
        examples=["clinic ops lift 0199d1a0-…"],
    )
    parser.add_argument("suppression_id", metavar="SUPPRESSION")
    add_clinic(parser)


async def deliveries(session: Session, arguments: Namespace) -> Told:
    if not arguments.conversation and not arguments.recipient:
        raise Failed("Say of what: --conversation ID, --recipient ID, or both.")
    request = pb.ListDeliveriesRequest(
        conversation_id=arguments.conversation,
        recipient_id=arguments.recipient,
        page_size=_PAGE,
    )
    ops = session.desk.ops(session.clinic_of(arguments))
    answer = await ops.call(session.suite.notifications_internal.ListDeliveries, request)
    rows = [_delivery_row(each) for each in answer.deliveries]
    shown = table(("delivery", "to", "by", "state", "log"), rows, empty="No deliveries.")
    return Told([as_data(each) for each in answer.deliveries], shown)


async def retry(session: Session, arguments: Namespace) -> Told:
    request = pb.RetryDeliveryRequest(
        delivery_id=arguments.delivery_id,
        may_arrive_twice=arguments.may_arrive_twice,
        request_id=str(uuid7()),
    )
    ops = session.desk.ops(session.clinic_of(arguments))
    answer = await ops.call(session.suite.notifications_internal.RetryDelivery, request)
    said = "It goes out now, unless the rules want it no more; ask with `clinic ops deliveries`."
    return Told(as_data(answer.delivery), lines(said))


async def suppressions(session: Session, arguments: Namespace) -> Told:
    request = pb.ListSuppressionsRequest(
        recipient_id=arguments.recipient, include_lifted=arguments.lifted, page_size=_PAGE
    )
    ops = session.desk.ops(session.clinic_of(arguments))
    answer = await ops.call(session.suite.notifications_internal.ListSuppressions, request)
    rows = [_suppression_row(each) for each in answer.suppressions]
    shown = table(
        ("suppression", "of", "because", "since", "lifted"), rows, empty="Nothing is suppressed."
    )
    more = plain("The latest 200; narrow it with --recipient.")
    parts = (shown, more) if answer.next_page_token else (shown,)
    return Told([as_data(each) for each in answer.suppressions], Group(*parts))


async def lift(session: Session, arguments: Namespace) -> Told:
    request = pb.LiftSuppressionRequest(
        suppression_id=arguments.suppression_id, request_id=str(uuid7())
    )
    ops = session.desk.ops(session.clinic_of(arguments))
    answer = await ops.call(session.suite.notifications_internal.LiftSuppression, request)
    said = "Mailed again, from the next message on; `clinic ops retry` sends what was held back."
    return Told(as_data(answer.suppression), lines(said))


def _delivery_row(delivery: delivery_pb2.Delivery) -> Row:
    state = word(delivery_pb2.DeliveryState.Name(delivery.state), "DELIVERY_STATE_")
    reason = word(delivery_pb2.DeliveryReason.Name(delivery.reason), "DELIVERY_REASON_")
    return (
        named(
            f"of message {delivery.sequence}",
            delivery.delivery_id,
            delivery.conversation_id,
            delivery.recipient_id,
        ),
        _side(delivery.recipient_side),
        word(delivery_pb2.Channel.Name(delivery.channel), "CHANNEL_"),
        f"{state} ({reason})" if reason else state,
        word(delivery_pb2.ProviderState.Name(delivery.provider_state), "PROVIDER_STATE_"),
    )


def _suppression_row(suppression: suppression_pb2.Suppression) -> Row:
    reason = suppression_pb2.SuppressionReason.Name(suppression.reason)
    lifted = when(suppression.lift_time) if suppression.HasField("lift_time") else ""
    return (
        named("address of", suppression.suppression_id, suppression.recipient_id),
        _side(suppression.recipient_side),
        word(reason, "SUPPRESSION_REASON_"),
        when(suppression.create_time),
        lifted,
    )


def _side(side: delivery_pb2.RecipientSide) -> str:
    return word(delivery_pb2.RecipientSide.Name(side), "RECIPIENT_SIDE_")
