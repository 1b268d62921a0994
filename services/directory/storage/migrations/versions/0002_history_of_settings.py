"""What a clinic's settings were, since when, and who made them so."""

from alembic import op

from services.chassis.schema import drop_tables, execute_all, protect

revision = "0002"
down_revision = "0001"

_TABLES = """
create table clinic_settings (
    clinic_id uuid not null references clinics (clinic_id),
    settings_version bigint not null,
    changed_at timestamptz not null,
    actor text not null,
    messaging_policy text not null,
    portal_link_base text not null,
    mail_hold interval not null,
    sender_name text not null,
    away_after interval,
    primary key (clinic_id, settings_version)
);
"""
# Who made them so before there was a history, the audit tells.
_KEEP = """
insert into clinic_settings select clinic_id, settings_version, created_at, '', messaging_policy,
    portal_link_base, mail_hold, sender_name, away_after from clinics
"""


def upgrade() -> None:
    execute_all(_TABLES)
    # The owner sees the rows of no clinic while row-level security is forced on it.
    op.execute("alter table clinics no force row level security")
    op.execute(_KEEP)
    op.execute("alter table clinics force row level security")
    protect("directory", "clinic_settings", app=["select", "insert"])


def downgrade() -> None:
    drop_tables(_TABLES)
