"""What waits of a thread is found by what is due first, however much of it waits."""

from services.chassis.schema import execute_all

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    execute_all("""
drop index deliveries_waiting_index;
create index deliveries_waiting_index
    on deliveries (clinic_id, recipient_id, conversation_id, channel, due_at)
    where state in ('HELD', 'CLAIMED');
""")


def downgrade() -> None:
    execute_all("""
drop index deliveries_waiting_index;
create index deliveries_waiting_index
    on deliveries (clinic_id, recipient_id, conversation_id) where state in ('HELD', 'CLAIMED');
""")
