"""A search sorts what it finds by name without looking at the profiles that it leaves out."""

from services.chassis.schema import execute_all

revision = "0003"
down_revision = "0002"

# The owner sees the rows of no clinic while row-level security is forced on it.
_UPGRADE = """
alter table search_terms no force row level security;
alter table profiles no force row level security;
alter table search_terms add column name_key text collate "C";
update search_terms as term set name_key = p.name_key from profiles as p
where p.clinic_id = term.clinic_id and p.id = term.profile_id;
alter table search_terms alter column name_key set not null;
alter table search_terms drop constraint search_terms_pkey;
alter table search_terms add primary key (clinic_id, term, profile_id) include (name_key);
alter table profiles force row level security;
alter table search_terms force row level security;
"""
_DOWNGRADE = """
alter table search_terms drop constraint search_terms_pkey;
alter table search_terms add primary key (clinic_id, term, profile_id);
alter table search_terms drop column name_key;
"""


def upgrade() -> None:
    execute_all(_UPGRADE)


def downgrade() -> None:
    execute_all(_DOWNGRADE)
