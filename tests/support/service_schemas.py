"""Which services have a database, read from the tree: a new one is tested without being named."""

from pathlib import Path

_SERVICES = Path(__file__).parents[2] / "services"


def services_with_migrations() -> list[str]:
    versions = _SERVICES.glob("*/storage/migrations/versions/0*.py")
    return sorted({path.relative_to(_SERVICES).parts[0] for path in versions})
