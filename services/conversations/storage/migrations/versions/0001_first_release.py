"""Threads, messages, receipts, archival history, names to search by; outbox, inbox and replica."""

from alembic import op

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

_SERVICE = "conversations"

_TABLES = """
create table conversations (
    clinic_id uuid not null,
    id uuid not null,
    staff_id uuid not null,
    profile_id uuid not null,
    created_at timestamptz not null,
    last_sequence bigint not null default 0,
    staff_unread integer not null default 0 check (staff_unread >= 0),
    profile_unread integer not null default 0 check (profile_unread >= 0),
    staff_read_sequence bigint not null default 0,
    profile_read_sequence bigint not null default 0,
    last_activity_at timestamptz not null,
    reasons text[] not null default '{}',
    primary key (clinic_id, id),
    constraint conversations_clinic_id_staff_id_profile_id_key
        unique (clinic_id, staff_id, profile_id)
);
create index conversations_staff_inbox_index
    on conversations (clinic_id, staff_id, last_activity_at desc, id desc);
create index conversations_profile_inbox_index
    on conversations (clinic_id, profile_id, last_activity_at desc, id desc);
create index conversations_staff_unread_index
    on conversations (clinic_id, staff_id, staff_unread) where staff_unread > 0;
create index conversations_profile_unread_index
    on conversations (clinic_id, profile_id, profile_unread) where profile_unread > 0;
create table messages (
    clinic_id uuid not null,
    conversation_id uuid not null,
    sequence bigint not null,
    id uuid not null,
    sender_side text not null check (sender_side in ('staff', 'profile')),
    request_id uuid not null,
    ciphertext bytea,
    key_version integer not null,
    fingerprint bytea,
    sent_at timestamptz not null,
    deleted_at timestamptz,
    primary key (clinic_id, conversation_id, sequence),
    -- The request first: nothing else is then looked up by this index, and no request by another.
    constraint messages_clinic_id_request_id_conversation_id_sender_side_key
        unique (clinic_id, request_id, conversation_id, sender_side),
    -- A tombstone holds nothing of the text, not even a hash of it.
    constraint messages_deleted_at_check
        check ((deleted_at is null) = (ciphertext is not null and fingerprint is not null))
);
create table read_marks (
    clinic_id uuid not null,
    conversation_id uuid not null,
    side text not null,
    up_to_sequence bigint not null,
    read_at timestamptz not null,
    primary key (clinic_id, conversation_id, side, up_to_sequence)
);
create table archivals (
    clinic_id uuid not null,
    conversation_id uuid not null,
    cause text not null,
    cause_id uuid not null,
    archived_at timestamptz not null,
    unarchived_at timestamptz,
    primary key (clinic_id, conversation_id, cause, cause_id)
);
create table data_keys (
    clinic_id uuid not null,
    version integer not null,
    wrapped bytea not null,
    created_at timestamptz not null default clock_timestamp(),
    primary key (clinic_id, version)
);
create table search_terms (
    clinic_id uuid not null,
    term text collate "C" not null,
    person_id uuid not null,
    primary key (clinic_id, term, person_id)
);
create index search_terms_clinic_id_person_id_index on search_terms (clinic_id, person_id);
create index replica_staff_underived_index
    on replica_staff (clinic_id, staff_id) where derived_version <> version;
create index replica_profiles_underived_index
    on replica_profiles (clinic_id, profile_id) where derived_version <> version;
"""

# A state of somebody without threads has no consequences to draw, and most people of an import have
# none. Whoever starts a thread later reads the state that he starts it on, behind the fence.
_SETTLE = """
create function settle_{side}() returns trigger language plpgsql as $$
begin
    if not exists (select from conversations as c
                   where c.clinic_id = new.clinic_id and c.{side}_id = new.{side}_id) then
        new.derived_version := new.version;
    end if;
    return new;
end $$;
create trigger settle before insert or update of version on {table}
    for each row execute function settle_{side}()
"""
_SETTLED = {"staff": "replica_staff", "profile": "replica_profiles"}


def upgrade() -> None:
    create_chassis_tables(_SERVICE)
    create_replica_tables(_SERVICE)
    execute_all(_TABLES)
    for side, table in _SETTLED.items():
        op.execute(_SETTLE.format(side=side, table=table))
    protect(
        _SERVICE,
        "conversations",
        app=["select", "insert", "update"],
        worker=["select"],
    )
    protect(_SERVICE, "messages", app=["select", "insert", "update"])
    protect(_SERVICE, "read_marks", app=["select", "insert"])
    protect(_SERVICE, "archivals", app=["select", "insert", "update"])
    protect(_SERVICE, "data_keys", app=["select", "insert", "update"], worker=["select", "update"])
    protect(_SERVICE, "search_terms", app=["select", "insert", "delete"])


def downgrade() -> None:
    drop_replica_tables()
    for side in _SETTLED:
        op.execute(f"drop function settle_{side}()")
    drop_tables(_TABLES)
    drop_chassis_tables()
