"""The ledger, what it needs to know of messages, suppressions, devices; outbox, inbox, replica."""

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
create index deliveries_due_index on deliveries (due_at) where state = 'HELD';
create index deliveries_leased_index
    on deliveries (leased_until) where state in ('CLAIMED', 'TRANSMITTING');
create index deliveries_dispatch_index
    on deliveries (clinic_id, dispatch_id) where state in ('HELD', 'CLAIMED', 'TRANSMITTING');
create index deliveries_waiting_index
    on deliveries (clinic_id, recipient_id, conversation_id) where state in ('HELD', 'CLAIMED');
create index deliveries_signed_in_index
    on deliveries (clinic_id, recipient_id, message_sent_at) where reason = 'SIGNED_IN';
create index deliveries_conversation_index
    on deliveries (clinic_id, conversation_id, decided_at desc, id desc);
create index deliveries_recipient_index
    on deliveries (clinic_id, recipient_id, decided_at desc, id desc);
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
    recipient_id uuid not null,
    -- A keyed hash: no address is stored here.
    address_print bytea not null,
    reason text not null,
    created_at timestamptz not null,
    primary key (clinic_id, recipient_id, address_print)
);
create table devices (
    clinic_id uuid not null,
    id uuid not null,
    profile_id uuid not null,
    platform text not null,
    registered_at timestamptz not null,
    primary key (clinic_id, id)
);
create index devices_profile_index
    on devices (clinic_id, profile_id, registered_at desc, id desc);
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


def upgrade() -> None:
    create_chassis_tables(_SERVICE)
    create_replica_tables(_SERVICE)
    execute_all(_SESSIONS)
    execute_all(_TABLES)
    kept = ["select", "insert", "update"]
    protect(_SERVICE, "deliveries", app=kept, worker=["select"])
    protect(_SERVICE, "read_positions", app=kept)
    protect(_SERVICE, "deleted_messages", app=["select", "insert"])
    protect(_SERVICE, "suppressions", app=["select", "insert"])
    protect(_SERVICE, "devices", app=["select"])


def downgrade() -> None:
    drop_tables(_TABLES)
    drop_replica_tables()
    drop_chassis_tables()
