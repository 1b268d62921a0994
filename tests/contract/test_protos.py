"""What every proto of the suite keeps to, read from the descriptors (style of the protos)."""

import re
from collections import Counter
from collections.abc import Iterator

import pytest
from google.api.field_behavior_pb2 import OPTIONAL, OUTPUT_ONLY, REQUIRED
from google.protobuf.descriptor_pb2 import FieldDescriptorProto

from services.chassis.errors import Code
from tests.contract.descriptors import (
    Enum,
    Message,
    Method,
    behaviors,
    enums,
    message_of,
    messages,
    methods,
    services,
)

SERVICES = {"directory", "conversations", "notifications", "export"}
READS = re.compile(
    r"(Get|List|Search|BatchGet|Stream|Watch|Resolve|Explain|Investigate|Download)[A-Z]"
)
# Repeating them changes nothing by what they are, so that no id has to tell a repeat.
MUTATIONS_WITHOUT_REQUEST_ID = {
    "ConversationsService.MarkConversationRead",
    "ConversationsInternalService.ApplyStates",
    "DirectoryService.CloseSession",
    "DirectoryService.TouchSession",
    "NotificationsInternalService.ApplyStates",
}
# One choice of one person: the last save wins, and there is nothing beside it to overwrite.
TOGGLES = {"DirectoryService.UpdateNotificationPreference"}
STATUS = re.compile(r"([A-Z_]+)(, with RetryInfo)?:")
EXAMPLE = '{{ "reason": "{reason}", "domain": "'
TIMES = {".google.protobuf.Timestamp", ".google.protobuf.Duration"}
PLAIN = {
    FieldDescriptorProto.TYPE_BOOL,
    FieldDescriptorProto.TYPE_ENUM,
    FieldDescriptorProto.TYPE_INT32,
    FieldDescriptorProto.TYPE_INT64,
    FieldDescriptorProto.TYPE_UINT32,
    FieldDescriptorProto.TYPE_UINT64,
}


def by_path(found: list[Method]) -> list[object]:
    return [pytest.param(method, id=method.path) for method in found]


def by_name(found: list[Message]) -> list[object]:
    return [pytest.param(message, id=message.name.removeprefix(".")) for message in found]


def settable_fields(message: Message, path: str = "") -> Iterator[tuple[str, FieldDescriptorProto]]:
    """Every field that a caller may fill in, however deep; what a service published is its own."""
    for field in message.fields:
        yield path + field.name, field
        within = message_of(field)
        if within and OUTPUT_ONLY not in behaviors(field) and not is_event(within):
            yield from settable_fields(within, f"{path}{field.name}.")


def is_event(message: Message) -> bool:
    return message.file.endswith("_events.proto")


def carries_no_text(field: FieldDescriptorProto) -> bool:
    if field.type == FieldDescriptorProto.TYPE_STRING:
        return field.name.endswith(("_id", "_ids")) or field.name == "incarnation"
    if field.type == FieldDescriptorProto.TYPE_MESSAGE:
        within = message_of(field)
        return field.type_name in TIMES or (
            within is not None and all(carries_no_text(inner) for inner in within.fields)
        )
    return field.type in PLAIN


every_method = pytest.mark.parametrize("method", by_path(list(methods())))
mutations = pytest.mark.parametrize(
    "method", by_path([method for method in methods() if not READS.match(method.name)])
)
lists = pytest.mark.parametrize(
    "method",
    by_path([method for method in methods() if re.match("(List|Search)[A-Z]", method.name)]),
)
updates = pytest.mark.parametrize(
    "method",
    by_path([m for m in methods() if m.name.startswith("Update") and m.path not in TOGGLES]),
)
public = pytest.mark.parametrize(
    "method", by_path([method for method in methods() if method.service.is_public])
)
events = pytest.mark.parametrize("event", by_name([*filter(is_event, messages().values())]))
every_enum = pytest.mark.parametrize(
    "enum", [pytest.param(enum, id=f"{enum.file}:{enum.name}") for enum in enums()]
)
error_reasons = pytest.mark.parametrize(
    "enum",
    [pytest.param(enum, id=enum.package) for enum in enums() if enum.name == "ErrorReason"],
)


@every_method
def test_every_rpc_says_who_may_call_it(method: Method):
    assert method.roles
    assert "ROLE_UNSPECIFIED" not in method.roles
    assert len(set(method.roles)) == len(method.roles)


@every_method
def test_services_are_named_where_and_only_where_services_may_call(method: Method):
    assert bool(method.services) == ("ROLE_SERVICE" in method.roles)
    assert set(method.services) <= SERVICES


@public
def test_persons_only_call_public_services_and_machines_only_the_others(method: Method):
    assert set(method.roles) <= {"ROLE_STAFF", "ROLE_PATIENT"}


def test_no_person_may_call_what_is_behind_the_gateway():
    behind = [method for method in methods() if not method.service.is_public]

    open_to_persons = [m.path for m in behind if {"ROLE_STAFF", "ROLE_PATIENT"} & set(m.roles)]

    assert open_to_persons == []


@lists
def test_every_list_is_paged_and_holds_its_results_first(method: Method):
    size, token = method.request.field("page_size"), method.request.field("page_token")
    first = next(field for field in method.response.fields if field.number == 1)
    next_token = method.response.field("next_page_token")

    assert size is not None and size.type == FieldDescriptorProto.TYPE_INT32
    assert token is not None and token.type == FieldDescriptorProto.TYPE_STRING
    assert next_token is not None and next_token.type == FieldDescriptorProto.TYPE_STRING
    assert first.label == FieldDescriptorProto.LABEL_REPEATED


@mutations
def test_every_mutation_requires_a_request_id(method: Method):
    ids = [field for path, field in settable_fields(method.request) if field.name == "request_id"]

    if method.path in MUTATIONS_WITHOUT_REQUEST_ID:
        assert ids == []
    else:
        assert [behaviors(field) for field in ids] == [{REQUIRED}]


def test_the_mutations_without_a_request_id_exist():
    assert {method.path for method in methods()} >= MUTATIONS_WITHOUT_REQUEST_ID


@every_method
def test_every_field_of_a_request_says_whether_it_is_required(method: Method):
    silent = [
        path
        for path, field in settable_fields(method.request)
        if len(behaviors(field) & {REQUIRED, OPTIONAL, OUTPUT_ONLY}) != 1
    ]
    made_by_the_server = [
        field.name for field in method.request.fields if OUTPUT_ONLY in behaviors(field)
    ]

    assert silent == []
    assert made_by_the_server == []


@public
def test_no_public_request_names_a_clinic(method: Method):
    named = [
        path
        for path, field in settable_fields(method.request)
        if field.name == "clinic_id" and OUTPUT_ONLY not in behaviors(field)
    ]

    assert named == []


@updates
def test_an_update_names_what_it_changes_and_notices_a_stale_reader(method: Method):
    assert method.request.field("update_mask") is not None
    assert method.request.field("etag") is not None


@events
def test_events_hold_ids_enums_numbers_and_times_only(event: Message):
    assert [field.name for field in event.fields if not carries_no_text(field)] == []


def test_every_service_has_one_list_of_reasons():
    reasons = Counter(enum.package for enum in enums() if enum.name == "ErrorReason")

    assert reasons == {service.package: 1 for service in services()}


@error_reasons
def test_every_reason_says_its_status_and_shows_the_error_info(enum: Enum):
    reasons = enum.values[1:]

    without_example = [
        value.name
        for value in reasons
        if EXAMPLE.format(reason=value.name.removeprefix("ERROR_REASON_")) not in value.comment
    ]
    statuses = {found[1] for value in reasons if (found := STATUS.match(value.comment))}

    assert without_example == []
    assert [value.name for value in reasons if not STATUS.match(value.comment)] == []
    assert statuses <= {*Code, "INTERNAL"}


def test_a_reason_means_one_thing_in_the_whole_suite():
    common, *others = (
        {value.name for value in enum.values[1:]}
        for enum in sorted(enums(), key=lambda enum: enum.package != "clinic.operations.v1")
        if enum.name == "ErrorReason"
    )

    assert [common & other for other in others] == [set()] * len(others)


def test_every_service_says_what_it_is_for():
    assert [service.name for service in services() if not service.comment] == []


@every_method
def test_every_rpc_says_what_it_does(method: Method):
    assert method.comment


@every_enum
def test_every_enum_and_each_of_its_values_is_explained(enum: Enum):
    assert enum.comment
    assert [value.name for value in enum.values if not value.comment] == []
