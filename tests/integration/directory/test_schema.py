"""The schema holds by itself what must never be otherwise, whatever the code does."""

import psycopg
import pytest


@pytest.mark.parametrize(
    "statement",
    [
        "update staff_members set account_owner = true where not account_owner",
        """update staff_members set deactivation_id = id, deactivated_at = now()
           where account_owner""",
        "update staff_members set deactivation_id = id",
        "update profiles set merged_into = id, merge_id = id",
        "update profiles set merged_into = null where merged_into is not null",
        """insert into merges select clinic_id, gen_random_uuid(), primary_profile_id,
           secondary_profile_id, actor, merged_at from merges where unmerged_at is null""",
        "update sessions set ended_at = now()",
    ],
)
async def test_what_must_never_be_is_refused_by_the_database(world, owner, statement):
    await world.staff(owner.clinic_id)
    pat, twin = [await owner.create_profile(name) for name in ("Pat", "Twin")]
    await owner.merge(twin, into=pat)

    with (
        pytest.raises(psycopg.errors.IntegrityError),
        psycopg.connect(world.superuser) as connection,
    ):
        connection.execute(statement.encode())
