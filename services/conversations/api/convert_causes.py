"""Questions about a delivery, and their causes, to and from protobuf."""

from clinic.conversations.v1 import conversations_internal_service_pb2 as internal
from clinic.conversations.v1 import conversations_service_pb2 as pb
from clinic.conversations.v1 import delivery_cause_pb2
from clinic.notifications.v1 import delivery_pb2
from services.chassis.errors import InvalidArgument
from services.chassis.identity import Caller
from services.chassis.ids import parse_id
from services.conversations.domain.explaining import DeliveryCause
from services.conversations.usecases.explain_delivery import ExplainDelivery


class SubjectRequired(InvalidArgument):
    reason = "FIELD_REQUIRED"


def to_explain_delivery(
    request: pb.ExplainDeliveryRequest | internal.InvestigateDeliveryRequest, caller: Caller
) -> ExplainDelivery:
    if not request.conversation_id and not request.profile_id:
        raise SubjectRequired("name a conversation or a profile", field="conversation_id")
    if request.sequence < 0:
        raise InvalidArgument("sequence must not be negative", field="sequence")
    named = request.conversation_id
    return ExplainDelivery(
        caller=caller,
        conversation_id=parse_id(named, field="conversation_id") if named else None,
        sequence=request.sequence,
        profile_id=None if named else parse_id(request.profile_id, field="profile_id"),
    )


def from_cause(cause: DeliveryCause) -> delivery_cause_pb2.DeliveryCause:
    return delivery_cause_pb2.DeliveryCause(
        kind=f"KIND_{cause.kind}",
        related_profile_id=str(cause.related_profile_id or ""),
        cause_time=cause.at,
        delivery=(
            None if cause.delivery is None else delivery_pb2.Delivery.FromString(cause.delivery)
        ),
    )
