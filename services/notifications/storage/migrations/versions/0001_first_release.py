"""The ledger, what it needs to know of messages, suppressions, devices; outbox, inbox, replica."""

from alembic import op

from services.chassis.schema import (
    create_chassis_tables,
    drop_chassis_tables,
    drop_tables,
    execute_all,
    grant,
    protect,
)
from services.directory_replica.schema import create_replica_tables, drop_replica_tables

revision = "0001"
down_revision = None

_SERVICE = "notifications"

_TABLES = """
create table deliveries (
    clinic_id uuid not null,
    id uuid not null,
    message_id uuid not null,
    conversation_id uuid not null,
    sequence bigint not null,
    recipient_side text not null check (recipient_side in ('staff', 'profile')),
    recipient_id uuid not null,
    channel text not null,
    state text not null,
    reason text,
    message_sent_at timestamptz not null,
    decided_at timestamptz not null,
    due_at timestamptz,
    sent_at timestamptz,
    dispatch_id uuid,
    attempts integer not null,
    claim_id uuid,
    leased_until timestamptz,
    resent boolean not null,
    -- A keyed hash of the address it was tried at: no address is stored here.
    address_print bytea,
    feedback text,
    version bigint not null,
    primary key (clinic_id, id),
    constraint deliveries_clinic_id_message_id_recipient_id_channel_key
        unique (clinic_id, message_id, recipient_id, channel),
    -- Every one that is settled and was not sent says why.
    constraint deliveries_reason_check
        check ((reason is null) = (state in ('HELD', 'CLAIMED', 'TRANSMITTING', 'SENT'))),
    constraint deliveries_due_at_check
        check (state <> 'HELD' or (dispatch_id is not null and due_at is not null)),
    constraint deliveries_claim_id_check
        check ((state in ('CLAIMED', 'TRANSMITTING'))
               = (claim_id is not null and leased_until is not null)),
    constraint deliveries_sent_at_check check ((state = 'SENT') = (sent_at is not null))
);
create index deliveries_due_index on deliveries (channel, due_at) where state = 'HELD';
create index deliveries_leased_index
    on deliveries (channel, leased_until) where state in ('CLAIMED', 'TRANSMITTING');
create index deliveries_dispatch_index
    on deliveries (clinic_id, dispatch_id) where state in ('HELD', 'CLAIMED', 'TRANSMITTING');
create index deliveries_handed_over_index
    on deliveries (dispatch_id) where state in ('TRANSMITTING', 'SENT', 'UNKNOWN');
create index deliveries_waiting_index
    on deliveries (clinic_id, recipient_id, conversation_id) where state in ('HELD', 'CLAIMED');
create index deliveries_signed_in_index
    on deliveries (clinic_id, recipient_id, message_sent_at) where reason = 'SIGNED_IN';
create index deliveries_conversation_index
    on deliveries (clinic_id, conversation_id, decided_at desc, id desc);
create index deliveries_recipient_index
    on deliveries (clinic_id, recipient_id, decided_at desc, id desc);
-- For what is forgotten by age: small, and seldom looked at.
create index deliveries_decided_at_index on deliveries using brin (decided_at);
create table read_positions (
    clinic_id uuid not null,
    conversation_id uuid not null,
    side text not null,
    up_to_sequence bigint not null,
    primary key (clinic_id, conversation_id, side)
);
create table deleted_messages (
    clinic_id uuid not null,
    message_id uuid not null,
    deleted_at timestamptz not null,
    primary key (clinic_id, message_id)
);
create table suppressions (
    clinic_id uuid not null,
    id uuid not null,
    recipient_side text not null check (recipient_side in ('staff', 'profile')),
    recipient_id uuid not null,
    -- A keyed hash: no address is stored here.
    address_print bytea not null,
    reason text not null,
    created_at timestamptz not null,
    lifted_at timestamptz,
    primary key (clinic_id, id)
);
create unique index suppressions_in_force_key
    on suppressions (clinic_id, recipient_id, address_print) where lifted_at is null;
create index suppressions_created_index on suppressions (clinic_id, created_at desc, id desc);
create index suppressions_recipient_index
    on suppressions (clinic_id, recipient_id, created_at desc, id desc);
create table devices (
    clinic_id uuid not null,
    id uuid not null,
    profile_id uuid not null,
    session_id uuid not null,
    platform text not null,
    registered_at timestamptz not null,
    -- A keyed hash, and the token itself sealed: neither tells it.
    token_print bytea not null,
    sealed_token bytea not null,
    primary key (clinic_id, id)
);
create index devices_profile_index
    on devices (clinic_id, profile_id, registered_at desc, id desc);
create index devices_session_index on devices (clinic_id, session_id);
create index devices_token_print_index on devices (clinic_id, token_print);
create index devices_registered_at_index on devices (registered_at);
-- What is to be taken back from the devices of profiles: while it is due, or being tried.
create table push_clears (
    clinic_id uuid not null,
    profile_id uuid not null,
    conversation_id uuid not null,
    -- Up to this sequence it was asked for: nothing of it is shown any more.
    cleared_to bigint not null,
    due_at timestamptz,
    wanted_at timestamptz not null,
    tries integer not null default 0,
    primary key (clinic_id, profile_id, conversation_id)
);
create index push_clears_due_index on push_clears (due_at) where due_at is not null;
-- Whose each push token is now, of all clinics: it says nothing of clinics and people.
create table push_tokens (
    token_print bytea primary key,
    device_id uuid not null unique
);
"""

# An ended session has consequences here and nowhere else: it is looked at until
# `derived_version` says that they were drawn, of that life of the directory's database.
_SESSIONS = """
alter table replica_sessions add column derived_version bigint not null default 0;
alter table replica_sessions
    add column derived_incarnation text collate "C" not null default '';
create index replica_sessions_underived_index
    on replica_sessions (clinic_id, person_id)
    where side = 'staff' and ended_at is not null
      and (derived_incarnation, derived_version) <> (incarnation, version);
"""

# A device goes in the very transaction in which the replica learns that its session has ended, or
# that its profile was merged away, whichever way the state came, and does not come back with it
# (I8, I10). A session that ran out is no sign-out: a phone in a pocket is still to be called.
_DROP_DEVICES = """
create function drop_devices_of_{what}() returns trigger language plpgsql as $$
begin
    delete from push_tokens where device_id in (
        select id from devices
        where clinic_id = new.clinic_id and {what}_id = new.{what}_id);
    delete from devices where clinic_id = new.clinic_id and {what}_id = new.{what}_id;
    return null;
end $$
"""
_TRIGGERS = """
create trigger replica_sessions_devices_trigger after update on replica_sessions for each row
    when (new.side = 'profile' and new.ended_at is not null and new.end_cause <> 'EXPIRED')
    execute function drop_devices_of_session();
create trigger replica_profiles_devices_trigger after insert or update on replica_profiles
    for each row
    when (new.merge_id is not null)
    execute function drop_devices_of_profile();
"""
_HOLDERS = ("session", "profile")


def upgrade() -> None:
    create_chassis_tables(_SERVICE)
    create_replica_tables(_SERVICE)
    execute_all(_SESSIONS)
    execute_all(_TABLES)
    for holder in _HOLDERS:
        op.execute(_DROP_DEVICES.format(what=holder))
    execute_all(_TRIGGERS)
    kept = ["select", "insert", "update"]
    protect(_SERVICE, "deliveries", app=kept, worker=["select", "delete"])
    protect(_SERVICE, "read_positions", app=kept)
    protect(_SERVICE, "deleted_messages", app=["select", "insert"], worker=["select", "delete"])
    protect(_SERVICE, "suppressions", app=kept)
    every = ["select", "insert", "update", "delete"]
    protect(_SERVICE, "devices", app=every, worker=["select", "delete"])
    protect(_SERVICE, "push_clears", app=kept, worker=["select"])
    grant(_SERVICE, "push_tokens", app=every, worker=["select", "delete"])


def downgrade() -> None:
    drop_tables(_TABLES)
    drop_replica_tables()
    for holder in _HOLDERS:
        op.execute(f"drop function drop_devices_of_{holder}()")
    drop_chassis_tables()
