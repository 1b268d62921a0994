"""Clinics, staff, profiles, merges, sessions, terms to search by; outbox, requests and audit."""

from services.chassis.schema import (
    create_chassis_tables,
    drop_chassis_tables,
    drop_tables,
    execute_all,
    protect,
)

revision = "0001"
down_revision = None

_SERVICE = "directory"

# `search_terms` refers to profiles without a foreign key, as an index does: it holds some thirty
# rows a profile, which is never deleted, and a check of each would double the time of an import.
_TABLES = """
create table clinics (
    clinic_id uuid primary key,
    name text not null,
    messaging_policy text not null check (messaging_policy in ('OFF', 'ALLOWED')),
    portal_link_base text not null,
    mail_hold interval not null,
    sender_name text not null,
    away_after interval,
    version bigint not null,
    details_version bigint not null,
    settings_version bigint not null,
    created_at timestamptz not null
);
create table staff_members (
    clinic_id uuid not null references clinics (clinic_id),
    id uuid not null,
    kind text not null check (kind in ('PRACTITIONER', 'ADMINISTRATOR')),
    access_level text not null check (access_level in ('LIMITED', 'STANDARD', 'FULL')),
    account_owner boolean not null,
    display_name text not null,
    email text not null,
    name_key text collate "C" not null,
    deactivation_id uuid,
    deactivated_at timestamptz,
    mail_opted_in_at timestamptz,
    version bigint not null,
    details_version bigint not null,
    created_at timestamptz not null,
    primary key (clinic_id, id),
    constraint staff_members_deactivated_at_check
        check ((deactivation_id is null) = (deactivated_at is null)),
    constraint staff_members_account_owner_check
        check (deactivation_id is null or not account_owner)
);
create unique index staff_members_clinic_id_account_owner_index
    on staff_members (clinic_id) where account_owner;
create index staff_members_clinic_id_name_key_index on staff_members (clinic_id, name_key, id);
create table staff_emails (
    clinic_id uuid not null,
    staff_id uuid not null,
    changed_at timestamptz not null,
    email text not null,
    primary key (clinic_id, staff_id, changed_at),
    foreign key (clinic_id, staff_id) references staff_members (clinic_id, id)
);
create table account_owners (
    clinic_id uuid not null,
    owner_since timestamptz not null,
    staff_id uuid not null,
    primary key (clinic_id, owner_since),
    foreign key (clinic_id, staff_id) references staff_members (clinic_id, id)
);
create table profiles (
    clinic_id uuid not null references clinics (clinic_id),
    id uuid not null,
    kind text not null check (kind in ('PATIENT', 'CONTACT')),
    display_name text not null,
    preferred_name text not null,
    email text not null,
    phone text not null,
    birth_date date,
    do_not_email boolean not null,
    override text not null check (override in ('INHERIT', 'ALLOW', 'BLOCK')),
    merged_into uuid,
    merge_id uuid,
    unmerged_at timestamptz,
    mailable_since timestamptz,
    name_key text collate "C" not null,
    email_key text collate "C" not null,
    phone_key text not null,
    version bigint not null,
    details_version bigint not null,
    created_at timestamptz not null,
    primary key (clinic_id, id),
    foreign key (clinic_id, merged_into) references profiles (clinic_id, id),
    constraint profiles_merged_into_check
        check ((merged_into is null) = (merge_id is null) and merged_into <> id)
);
create index profiles_clinic_id_name_key_index on profiles (clinic_id, name_key, id);
create index profiles_clinic_id_email_key_index
    on profiles (clinic_id, email_key) where email_key <> '';
create index profiles_clinic_id_merged_into_index
    on profiles (clinic_id, merged_into) where merged_into is not null;
create table merges (
    clinic_id uuid not null,
    id uuid not null,
    primary_profile_id uuid not null,
    secondary_profile_id uuid not null,
    actor text not null,
    merged_at timestamptz not null,
    unmerge_actor text,
    unmerged_at timestamptz,
    primary key (clinic_id, id),
    foreign key (clinic_id, primary_profile_id) references profiles (clinic_id, id),
    foreign key (clinic_id, secondary_profile_id) references profiles (clinic_id, id),
    constraint merges_primary_profile_id_check check (primary_profile_id <> secondary_profile_id),
    constraint merges_unmerged_at_check check ((unmerged_at is null) = (unmerge_actor is null))
);
create unique index merges_clinic_id_secondary_profile_id_index
    on merges (clinic_id, secondary_profile_id) where unmerged_at is null;
create index merges_clinic_id_primary_profile_id_index on merges (clinic_id, primary_profile_id);
create table sessions (
    clinic_id uuid not null references clinics (clinic_id),
    id uuid not null,
    side text not null check (side in ('staff', 'profile')),
    person_id uuid not null,
    opened_at timestamptz not null,
    last_activity_at timestamptz not null,
    ended_at timestamptz,
    end_cause text check (
        end_cause in ('LOGOUT', 'EXPIRED', 'DEACTIVATED', 'MERGED', 'REVOKED')),
    version bigint not null,
    primary key (clinic_id, id),
    constraint sessions_ended_at_check check ((ended_at is null) = (end_cause is null))
);
create index sessions_clinic_id_person_id_index on sessions (clinic_id, person_id, opened_at);
create index sessions_live_last_activity_at_index
    on sessions (last_activity_at) where ended_at is null;
create index sessions_live_opened_at_index on sessions (opened_at) where ended_at is null;
create table search_terms (
    clinic_id uuid not null,
    term text collate "C" not null,
    profile_id uuid not null,
    primary key (clinic_id, term, profile_id)
);
create table source_identifiers (
    clinic_id uuid not null,
    system text not null,
    value text not null,
    person_id uuid not null,
    primary key (clinic_id, system, value)
);
create table source_links (
    clinic_id uuid not null,
    system text not null,
    value text not null,
    target text not null,
    merge_id uuid,
    primary key (clinic_id, system, value),
    foreign key (clinic_id, merge_id) references merges (clinic_id, id)
);
create index source_links_open_index
    on source_links (clinic_id, system, value) where merge_id is null;
"""


def upgrade() -> None:
    create_chassis_tables(_SERVICE)
    execute_all(_TABLES)
    written = ["select", "insert", "update"]
    for table in ("clinics", "staff_members", "profiles", "sessions"):
        protect(_SERVICE, table, app=written, worker=["select"])
    for table in ("merges", "source_links"):
        protect(_SERVICE, table, app=written)
    for table in ("staff_emails", "account_owners", "source_identifiers"):
        protect(_SERVICE, table, app=["select", "insert"])
    protect(_SERVICE, "search_terms", app=["select", "insert", "delete"])


def downgrade() -> None:
    drop_tables(_TABLES)
    drop_chassis_tables()
