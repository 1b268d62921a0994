"""Row-level security checks rows, and is no way to find them: see `_VISIBLE`."""

from services.chassis.schema import renew_policies

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    renew_policies()


def downgrade() -> None:
    """The policies of before say the same."""
