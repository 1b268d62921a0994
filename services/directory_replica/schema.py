"""The replica's tables, the same in every database that holds one; called by its migrations."""

from services.chassis.schema import drop_tables, execute_all, protect

# Incarnations are compared, here as in Python: by their characters, in no language.
_STAMP = """
    incarnation text collate "C" not null,
    version bigint not null,
    details_version bigint not null,"""

# `derived_version` is the version from which the owner of the database has drawn its consequences;
# `wanted` marks those whose name is to be held, `details_held` the version of the name that is.
_PERSON = """
    derived_version bigint not null default 0,
    wanted boolean not null default false,
    details_held bigint not null default 0,
    display_name text not null default '',"""

_TABLES = f"""
create table replica_clinics (
    clinic_id uuid primary key,{_STAMP}
    messaging_allowed boolean not null,
    mail_hold interval not null,
    away_after interval
);
create table replica_staff (
    clinic_id uuid not null,
    staff_id uuid not null,{_STAMP}
    active boolean not null,
    deactivation_id uuid,
    opted_in_at timestamptz,
    account_owner boolean not null,{_PERSON}
    primary key (clinic_id, staff_id)
);
create table replica_profiles (
    clinic_id uuid not null,
    profile_id uuid not null,{_STAMP}
    override text not null,
    merged_into uuid,
    merge_id uuid,
    do_not_email boolean not null,
    unmerged_at timestamptz,
    mailable_since timestamptz,{_PERSON}
    primary key (clinic_id, profile_id)
);
create index replica_profiles_clinic_id_merged_into_index
    on replica_profiles (clinic_id, merged_into) where merged_into is not null;
create index replica_staff_unnamed_index
    on replica_staff (clinic_id, staff_id) where wanted and details_held <> details_version;
create index replica_profiles_unnamed_index
    on replica_profiles (clinic_id, profile_id) where wanted and details_held <> details_version;
create table replica_sessions (
    clinic_id uuid not null,
    session_id uuid not null,{_STAMP}
    side text not null,
    person_id uuid not null,
    opened_at timestamptz not null,
    last_activity_at timestamptz not null,
    ended_at timestamptz,
    end_cause text,
    primary key (clinic_id, session_id)
);
create index replica_sessions_clinic_id_person_id_index
    on replica_sessions (clinic_id, person_id, opened_at);
"""

TABLES = ("replica_clinics", "replica_staff", "replica_profiles", "replica_sessions")


def create_replica_tables(service: str) -> None:
    """The replica as it was in the first release."""
    execute_all(_TABLES)
    for table in TABLES:
        rights = ["select", "insert", "update"]
        protect(service, table, app=rights, worker=["select", "update"])


def drop_replica_tables() -> None:
    drop_tables(_TABLES)
