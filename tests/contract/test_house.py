"""The four services have one shape, and every refusal has its place in the contract."""

import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest

import services
from clinic.conversations.v1 import error_reason_pb2 as conversations_reasons
from clinic.directory.v1 import error_reason_pb2 as directory_reasons
from clinic.export.v1 import error_reason_pb2 as export_reasons
from clinic.notifications.v1 import error_reason_pb2 as notifications_reasons
from clinic.operations.v1 import error_reason_pb2 as operations_reasons
from services.chassis.errors import DomainError
from services.chassis.server import unimplemented_methods
from services.conversations.api.internal_servicer import ConversationsInternalServicer
from services.conversations.api.servicer import ConversationsServicer
from services.directory.api.internal_servicer import DirectoryInternalServicer
from services.directory.api.servicer import DirectoryServicer
from services.export.api.servicer import ExportServicer
from services.notifications.api.internal_servicer import NotificationsInternalServicer
from services.notifications.api.servicer import NotificationsServicer

ROOT = Path(__file__).parents[2] / "services"
NAMES = ("directory", "conversations", "notifications", "export")
SHAPE = (
    "README.md",
    "__init__.py",
    "__main__.py",
    "app.py",
    "settings.py",
    "api/__init__.py",
    "api/convert.py",
    "api/servicer.py",
    "api/internal_servicer.py",
    "clients/__init__.py",
    "consumers/__init__.py",
    "domain/__init__.py",
    "domain/errors.py",
    "storage/__init__.py",
    "storage/unit_of_work.py",
    "storage/migrations/env.py",
    "storage/migrations/versions/0001_first_release.py",
    "usecases/__init__.py",
    "usecases/access.py",
)
# RPCs of the contract that this build does not serve; they answer UNIMPLEMENTED. Only shorten it.
UNIMPLEMENTED = {
    ConversationsServicer: (),
    ConversationsInternalServicer: (),
    DirectoryServicer: (),
    DirectoryInternalServicer: (),
    NotificationsServicer: (),
    NotificationsInternalServicer: (),
    ExportServicer: (),
}
REASONS = {
    "directory": directory_reasons,
    "conversations": conversations_reasons,
    "notifications": notifications_reasons,
    "export": export_reasons,
    "chassis": operations_reasons,
    "directory_replica": operations_reasons,
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("path", SHAPE)
def test_whoever_has_read_one_service_has_read_all(name, path):
    assert (ROOT / name / path).is_file()


@pytest.mark.parametrize(("servicer", "names"), UNIMPLEMENTED.items())
def test_exactly_these_rpcs_are_not_served_yet(servicer, names):
    assert unimplemented_methods(object.__new__(servicer)) == names


def _modules():
    for module in pkgutil.walk_packages(services.__path__, "services."):
        if "migrations" not in module.name and not module.name.endswith("__main__"):
            yield importlib.import_module(module.name)


def _errors():
    found = set()
    for module in _modules():
        for _, kind in inspect.getmembers(module, inspect.isclass):
            if issubclass(kind, DomainError) and kind.__module__ == module.__name__:
                found.add(kind)
    return sorted(found, key=lambda kind: (kind.__module__, kind.__name__))


@pytest.mark.parametrize("kind", _errors(), ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_every_refusal_has_its_reason_in_the_contract(kind):
    reason = getattr(kind, "reason", None)
    if reason is None:
        return  # a code whose subclasses have reasons
    package = kind.__module__.split(".")[1]
    assert re.fullmatch(r"[A-Z][A-Z0-9_]+", reason)
    known = REASONS.get(package, operations_reasons).ErrorReason.keys()
    assert f"ERROR_REASON_{reason}" in {*known, *operations_reasons.ErrorReason.keys()}


@pytest.mark.parametrize("package", NAMES)
def test_every_reason_of_the_contract_is_given_by_somebody(package):
    given = {getattr(kind, "reason", None) for kind in _errors()}
    promised = {
        name.removeprefix("ERROR_REASON_")
        for name in REASONS[package].ErrorReason.keys()  # noqa: SIM118
        if name != "ERROR_REASON_UNSPECIFIED"
    }

    assert promised <= given
