"""Exports and the conversations in them; outbox, inbox and replica as in every service."""

from services.chassis.schema import (
    create_chassis_tables,
    drop_chassis_tables,
    drop_tables,
    execute_all,
    protect,
)
from services.directory_replica.schema import create_replica_tables, drop_replica_tables

revision = "0001"
down_revision = None

_SERVICE = "export"

# `requester` is a keyed hash of the address that the request came from. `checkpoint` says how far
# the files of `lease_id` are complete. The names of people are forgotten with the files.
_TABLES = """
create table exports (
    clinic_id uuid not null,
    id uuid not null,
    staff_id uuid not null,
    scope text not null check (scope in ('STAFF_MEMBER')),
    state text not null
        check (state in ('APPROVED', 'RUNNING', 'READY', 'FAILED', 'CANCELLED', 'EXPIRED')),
    owner_id uuid not null,
    requester bytea not null,
    created_at timestamptz not null,
    cutoff_at timestamptz not null,
    expires_at timestamptz,
    staff_name text,
    conversations bigint not null default 0,
    messages bigint not null default 0,
    checkpoint jsonb,
    attempts integer not null default 0,
    due_at timestamptz not null,
    lease_id uuid,
    primary key (clinic_id, id),
    constraint exports_expires_at_check
        check ((state in ('READY', 'EXPIRED')) = (expires_at is not null))
);
create index exports_due_at_index on exports (due_at) where state in ('APPROVED', 'RUNNING');
create index exports_expires_at_index on exports (expires_at) where state = 'READY';
create table export_conversations (
    clinic_id uuid not null,
    export_id uuid not null,
    conversation_id uuid not null,
    profile_id uuid not null,
    profile_name text not null,
    created_at timestamptz not null,
    archivals jsonb not null,
    messages bigint not null,
    tombstones bigint not null,
    primary key (clinic_id, export_id, conversation_id),
    foreign key (clinic_id, export_id) references exports (clinic_id, id)
);
"""


def upgrade() -> None:
    create_chassis_tables(_SERVICE)
    create_replica_tables(_SERVICE)
    execute_all(_TABLES)
    protect(_SERVICE, "exports", app=["select", "insert", "update"], worker=["select", "update"])
    protect(_SERVICE, "export_conversations", app=["select", "insert"], worker=["select", "delete"])


def downgrade() -> None:
    drop_tables(_TABLES)
    drop_replica_tables()
    drop_chassis_tables()
