"""Fields that the contract calls REQUIRED are there; their bounds are the domain's."""

from collections.abc import Callable, Iterator
from functools import cache

from google.api.field_behavior_pb2 import REQUIRED, field_behavior
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from services.chassis.interceptors.status import FieldRequired

_MOST_NAMED = 20

Missing = Callable[[Message, str], list[str]]


def check_required(request: Message) -> None:
    """Raises FieldRequired that names all that is missing.

    Missing is a field that was not set, or, where a set zero cannot be told from none, an empty
    text, list or map, a zero number and the UNSPECIFIED of an enum. A plain bool is never missing.
    """
    missing: list[str] = []
    for rule in _rules(request.DESCRIPTOR):
        missing += rule(request, "")
    if missing:
        raise FieldRequired(tuple(missing[:_MOST_NAMED]))


@cache
def _rules(descriptor: Descriptor) -> tuple[Missing, ...]:
    """One rule a field that is required or may hold a message with required fields."""
    found: list[Missing] = []
    for field in descriptor.fields:
        if REQUIRED in field.GetOptions().Extensions[field_behavior]:
            found.append(_presence(field))
        nested = _message_within(field)
        if nested is not None and _leads_to_required(nested):
            found.append(_each_nested(field))
    return tuple(found)


def _leads_to_required(descriptor: Descriptor, seen: frozenset[str] = frozenset()) -> bool:
    if descriptor.full_name in seen:
        return False
    seen |= {descriptor.full_name}
    return any(
        REQUIRED in field.GetOptions().Extensions[field_behavior]
        or ((nested := _message_within(field)) is not None and _leads_to_required(nested, seen))
        for field in descriptor.fields
    )


def _message_within(field: FieldDescriptor) -> Descriptor | None:
    """The message type of a field, of its elements, or of a map's values."""
    within = field.message_type
    if within is not None and _is_map(field):
        return within.fields_by_name["value"].message_type
    return within


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def _presence(field: FieldDescriptor) -> Missing:
    name = field.name
    if field.has_presence:

        def absent(message: Message) -> bool:
            return not message.HasField(name)

    elif field.type == FieldDescriptor.TYPE_BOOL and not field.is_repeated:

        def absent(message: Message) -> bool:
            return False

    else:

        def absent(message: Message) -> bool:
            return not getattr(message, name)

    def missing(message: Message, path: str) -> list[str]:
        return [path + name] if absent(message) else []

    return missing


def _each_nested(field: FieldDescriptor) -> Missing:
    name, is_map = field.name, _is_map(field)

    def nested(message: Message, path: str) -> Iterator[tuple[str, Message]]:
        value = getattr(message, name)
        if is_map:
            yield from ((f"{path}{name}[].", value[key]) for key in value)
        elif field.is_repeated:
            yield from ((f"{path}{name}[{at}].", element) for at, element in enumerate(value))
        elif message.HasField(name):
            yield f"{path}{name}.", value

    def missing(message: Message, path: str) -> list[str]:
        return [
            found
            for inner_path, inner in nested(message, path)
            for rule in _rules(inner.DESCRIPTOR)
            for found in rule(inner, inner_path)
        ]

    return missing
