"""The parts of docs/operations.md that follow from code, made from it.

`python -m tests.contract.operations_page` rewrites them.
"""

from collections.abc import Iterator
from pathlib import Path

from services.chassis.settings import ChassisSettings, describe
from services.conversations.settings import Settings as Conversations
from services.directory.settings import Settings as Directory
from services.export.settings import Settings as Export
from services.notifications.settings import Settings as Notifications
from tests.contract.descriptors import Method, methods

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
_SETTINGS = {
    "DIRECTORY": Directory,
    "CONVERSATIONS": Conversations,
    "NOTIFICATIONS": Notifications,
    "EXPORT": Export,
}


def settings_table() -> str:
    """Every variable: what all services share once, then what is one service's own."""
    rows: dict[str, str] = {}
    for prefix, kind in _SETTINGS.items():
        for variable in describe(kind, f"{prefix}_"):
            shared = _shared_name(variable.name, prefix)
            default = "required" if variable.default is None else variable.default or "none"
            rows[shared] = f"| `{shared}` | {variable.type} | {default} | {variable.help} |"
    ordered = sorted(rows, key=lambda name: (not name.startswith("<"), name))
    head = ["| variable | form | default | what it says |", "|---|---|---|---|"]
    return "\n".join([*head, *(rows[name] for name in ordered)])


def _shared_name(name: str, prefix: str) -> str:
    rest = name.removeprefix(f"{prefix}_")
    common = {variable.name for variable in describe(ChassisSettings, "")}
    return f"<SERVICE>_{rest}" if rest in common else name


def roles_table() -> str:
    """Every RPC with who may call it."""
    head = ["| RPC | who may call |", "|---|---|"]
    return "\n".join([*head, *_role_rows()])


def _role_rows() -> Iterator[str]:
    for method in methods():
        yield f"| `{method.path}` | {', '.join(_callers(method))} |"


def _callers(method: Method) -> Iterator[str]:
    for role in method.roles:
        name = role.removeprefix("ROLE_").lower()
        yield f"{', '.join(method.services)} (service)" if name == "service" else name


def with_tables(page: str) -> str:
    """The page with both tables as the code has them."""
    for name, table in (("settings", settings_table()), ("roles", roles_table())):
        begin, end = f"<!-- {name}: begin -->\n", f"\n<!-- {name}: end -->"
        before, rest = page.split(begin)
        page = before + begin + table + end + rest.split(end)[1]
    return page


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text()))
