"""What waits for people of whom something has changed is found by those people: they are few."""

from services.chassis.schema import execute_all

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    execute_all("""
create index deliveries_held_for_staff_index on deliveries (clinic_id, recipient_id)
    where state = 'HELD' and recipient_side = 'staff';
create index replica_profiles_untold_index on replica_profiles (clinic_id, profile_id)
    where do_not_email or merge_id is not null or unmerged_at is not null
       or mailable_since is not null;
""")


def downgrade() -> None:
    execute_all("""
drop index replica_profiles_untold_index;
drop index deliveries_held_for_staff_index;
""")
