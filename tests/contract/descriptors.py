"""The contract as protoc wrote it down: gen/descriptors.binpb, comments included."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from google.api.field_behavior_pb2 import field_behavior
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    EnumValueDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
)

from clinic.annotations.v1 import access_pb2

DESCRIPTORS = Path(__file__).resolve().parents[2] / "gen" / "descriptors.binpb"

# Where descriptor.proto keeps what a path in the source info leads through.
_FILE_MESSAGES, _FILE_ENUMS, _FILE_SERVICES = 4, 5, 6
_MESSAGE_NESTED, _MESSAGE_ENUMS = 3, 4
_ENUM_VALUES, _SERVICE_METHODS = 2, 2

Place = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    file: str
    name: str
    proto: DescriptorProto

    @property
    def fields(self) -> tuple[FieldDescriptorProto, ...]:
        return tuple(self.proto.field)

    def field(self, name: str) -> FieldDescriptorProto | None:
        return next((field for field in self.fields if field.name == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    service: "Service"
    proto: MethodDescriptorProto
    comment: str

    @property
    def name(self) -> str:
        return self.proto.name

    @property
    def path(self) -> str:
        return f"{self.service.name}.{self.name}"

    @property
    def request(self) -> Message:
        return messages()[self.proto.input_type]

    @property
    def response(self) -> Message:
        return messages()[self.proto.output_type]

    @property
    def roles(self) -> tuple[str, ...]:
        # protoc types an extension as a plain field.
        options = self.proto.options
        roles: list[access_pb2.Role] = options.Extensions[access_pb2.allowed_roles]  # type: ignore[index]
        return tuple(access_pb2.Role.Name(role) for role in roles)

    @property
    def services(self) -> tuple[str, ...]:
        options = self.proto.options
        named: list[str] = options.Extensions[access_pb2.allowed_services]  # type: ignore[index]
        return tuple(named)


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    package: str
    name: str
    comment: str

    @property
    def is_public(self) -> bool:
        """The others are served on the port that the gateway cannot reach."""
        return not self.name.endswith("InternalService") and self.name != "OperationsService"


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    proto: EnumValueDescriptorProto
    comment: str

    @property
    def name(self) -> str:
        return self.proto.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Enum:
    package: str
    file: str
    name: str
    comment: str
    values: tuple[Value, ...]


@cache
def files() -> tuple[FileDescriptorProto, ...]:
    """Ours, without what they import of others."""
    everything = FileDescriptorSet.FromString(DESCRIPTORS.read_bytes())
    return tuple(file for file in everything.file if file.package.startswith("clinic."))


@cache
def messages() -> dict[str, Message]:
    """By full name with the leading dot, as fields and methods refer to them."""
    return {
        message.name: message
        for file in files()
        for proto in file.message_type
        for message in _with_nested(file, f".{file.package}.{proto.name}", proto)
    }


def _with_nested(file: FileDescriptorProto, name: str, proto: DescriptorProto) -> Iterator[Message]:
    yield Message(file=file.name, name=name, proto=proto)
    for nested in proto.nested_type:
        yield from _with_nested(file, f"{name}.{nested.name}", nested)


@cache
def services() -> tuple[Service, ...]:
    return tuple(dict.fromkeys(method.service for method in methods()))


@cache
def methods() -> tuple[Method, ...]:
    return tuple(method for file in files() for method in _methods(file))


def _methods(file: FileDescriptorProto) -> Iterator[Method]:
    comments = _comments(file)
    for i, proto in enumerate(file.service):
        place = (_FILE_SERVICES, i)
        service = Service(package=file.package, name=proto.name, comment=comments.get(place, ""))
        for j, method in enumerate(proto.method):
            comment = comments.get((*place, _SERVICE_METHODS, j), "")
            yield Method(service=service, proto=method, comment=comment)


@cache
def enums() -> tuple[Enum, ...]:
    return tuple(
        _enum(file, place, proto) for file in files() for place, proto in _enum_places(file)
    )


def _enum_places(file: FileDescriptorProto) -> Iterator[tuple[Place, EnumDescriptorProto]]:
    for i, enum in enumerate(file.enum_type):
        yield (_FILE_ENUMS, i), enum
    for i, message in enumerate(file.message_type):
        yield from _nested_enum_places((_FILE_MESSAGES, i), message)


def _nested_enum_places(
    place: Place, message: DescriptorProto
) -> Iterator[tuple[Place, EnumDescriptorProto]]:
    for i, enum in enumerate(message.enum_type):
        yield (*place, _MESSAGE_ENUMS, i), enum
    for i, nested in enumerate(message.nested_type):
        yield from _nested_enum_places((*place, _MESSAGE_NESTED, i), nested)


def _enum(file: FileDescriptorProto, place: Place, proto: EnumDescriptorProto) -> Enum:
    comments = _comments(file)
    values = tuple(
        Value(proto=value, comment=comments.get((*place, _ENUM_VALUES, i), ""))
        for i, value in enumerate(proto.value)
    )
    return Enum(
        package=file.package,
        file=file.name,
        name=proto.name,
        comment=comments.get(place, ""),
        values=values,
    )


def _comments(file: FileDescriptorProto) -> dict[Place, str]:
    return {
        tuple(location.path): location.leading_comments.strip()
        for location in file.source_code_info.location
        if location.leading_comments
    }


def behaviors(field: FieldDescriptorProto) -> frozenset[int]:
    return frozenset(field.options.Extensions[field_behavior])


def message_of(field: FieldDescriptorProto) -> Message | None:
    """The message of ours that a field holds, if it holds one."""
    return messages().get(field.type_name)
