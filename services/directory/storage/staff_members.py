"""Staff members, with the history of their addresses and of who owned the clinic (I24)."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.directory.domain.staff_member import AccessLevel, StaffKind, StaffMember

COLUMNS = """clinic_id, id, kind, access_level, account_owner, display_name, email,
    deactivation_id, deactivated_at, mail_opted_in_at, version, details_version, created_at"""

_GET = f"select {COLUMNS} from staff_members where clinic_id = :clinic_id and id = :id"
_GET_PLAIN = text(_GET)
_GET_LOCKED = text(_GET + " for no key update")
_CREATE = text("""
insert into staff_members (clinic_id, id, kind, access_level, account_owner, display_name, email,
    version, details_version, created_at)
values (:clinic_id, :id, :kind, :access_level, :account_owner, :display_name, :email,
    1, 1, :created_at)
""")
_SAVE = text(f"""
update staff_members set
    kind = :kind, access_level = :access_level, account_owner = :account_owner,
    display_name = :display_name, email = :email, deactivation_id = :deactivation_id,
    deactivated_at = :deactivated_at, mail_opted_in_at = :mail_opted_in_at,
    version = version + 1,
    details_version = details_version + cast(
        (display_name, email) is distinct from (:display_name, :email) as integer)
where clinic_id = :clinic_id and id = :id
returning {COLUMNS}
""")
_PAGE = text(f"""
select {COLUMNS} from staff_members
where clinic_id = :clinic_id and id > :after and (:inactive_too or deactivation_id is null)
order by id limit :most
""")
_MANY = text(f"""
select {COLUMNS} from staff_members where clinic_id = :clinic_id and id = any(:ids)
""")
_NOTE_EMAIL = text("""
insert into staff_emails (clinic_id, staff_id, changed_at, email)
values (:clinic_id, :id, :at, :email)
""")
_NOTE_OWNER = text("""
insert into account_owners (clinic_id, owner_since, staff_id) values (:clinic_id, :at, :id)
""")


class StaffMembers:
    def __init__(self, connection: AsyncConnection, clinic_id: UUID) -> None:
        self._connection = connection
        self._clinic_id = clinic_id

    async def get(self, id: UUID) -> StaffMember | None:
        return await self._one(_GET_PLAIN, id)
