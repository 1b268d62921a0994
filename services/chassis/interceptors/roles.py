"""Who may call a method stands in the contract; this enforces it."""

from dataclasses import dataclass

from google.protobuf.descriptor_pool import Default

from clinic.annotations.v1 import access_pb2
from services.chassis.errors import PermissionDenied
from services.chassis.identity import Caller, Role
from services.chassis.interceptors.call import Call, Method, Serve
from services.chassis.settings import RefusedToStart

_ROLES: dict[int, Role] = {
    access_pb2.ROLE_STAFF: Role.STAFF,
    access_pb2.ROLE_PATIENT: Role.PATIENT,
    access_pb2.ROLE_SERVICE: Role.SERVICE,
    access_pb2.ROLE_PLATFORM: Role.PLATFORM,
    access_pb2.ROLE_OPS: Role.OPS,
}


@dataclass(frozen=True, slots=True)
class Allowed:
    """The callers of one method; `services` says which services Role.SERVICE means."""

    roles: frozenset[Role]
    services: frozenset[str]

    def includes(self, caller: Caller) -> bool:
        if caller.role is Role.SERVICE and caller.name not in self.services:
            return False
        return caller.role in self.roles


def allowed(full_name: str) -> Allowed:
    """What the contract says of a method, `<package>.<service>.<method>`.

    Raises RefusedToStart where it names nobody: an empty list must not come to mean everybody.
    """
    options = Default().FindMethodByName(full_name).GetOptions()
    # protoc writes extensions into the .pyi without their types.
    roles: list[int] = options.Extensions[access_pb2.allowed_roles]  # type: ignore[index]
    named: list[str] = options.Extensions[access_pb2.allowed_services]  # type: ignore[index]
    services = frozenset(named)
    if not roles or access_pb2.ROLE_UNSPECIFIED in roles:
        raise RefusedToStart(f"{full_name} does not say which roles may call it")
    if (access_pb2.ROLE_SERVICE in roles) != bool(services):
        raise RefusedToStart(f"{full_name} must name services exactly where ROLE_SERVICE may call")
    return Allowed(frozenset(_ROLES[role] for role in roles), services)


class Roles:
    """Refuses a caller whose role may never call the method."""

    def around(self, method: Method, inner: Serve) -> Serve:
        callers = allowed(method.full_name)

        async def serve(call: Call) -> bytes | None:
            if call.caller is None or not callers.includes(call.caller):
                raise PermissionDenied("the caller's role may not call this method")
            return await inner(call)

        return serve
