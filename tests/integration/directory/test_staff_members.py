"""Staff: who may change whom, preferences, leaving, coming back, ownership (R23, R53, I3, I24)."""

import asyncio
from datetime import UTC, datetime
from uuid import uuid4

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from clinic.directory.v1 import session_pb2
from tests.support.directory_world import FULL, LIMITED, STANDARD
from tests.support.grpc_world import failure, reason

DENIED = grpc.StatusCode.PERMISSION_DENIED
REFUSED = grpc.StatusCode.FAILED_PRECONDITION


def update(person, staff_id, **fields):
    return person.call(
        "UpdateStaffMember",
        staff_id=staff_id,
        staff_member=fields,
        update_mask={"paths": list(fields)},
    )


async def test_full_access_changes_a_staff_member(world, owner):
    admin, doctor = await world.staff(owner.clinic_id), await world.staff(owner.clinic_id, LIMITED)

    changed = (
        await update(admin, doctor.id, display_name="Dr Bo", email="bo@harbour.test")
    ).staff_member

    assert (changed.display_name, changed.email) == ("Dr Bo", "bo@harbour.test")
    state = await world.state(owner.clinic_id, staff_id=doctor.id)
    assert (state.version, state.details_version) == (2, 2)


async def test_without_full_access_nobody_is_changed_not_even_oneself(world, owner):
    doctor = await world.staff(owner.clinic_id, STANDARD)

    error = await failure(update(doctor, doctor.id, access_level=FULL))

    assert (error.code(), reason(error)) == (DENIED, "FULL_ACCESS_REQUIRED")


async def test_the_owners_record_is_changed_by_the_owner_alone(world, owner):
    admin = await world.staff(owner.clinic_id, FULL)

    error = await failure(update(admin, owner.id, email="thief@harbour.test"))

    assert (error.code(), reason(error)) == (DENIED, "OWNER_REQUIRED")
    changed = (await update(owner, owner.id, email="new@harbour.test")).staff_member
    assert changed.email == "new@harbour.test"


async def test_the_history_of_addresses_and_of_ownership_is_kept_with_its_times(world, owner):
    heir = await world.staff(owner.clinic_id, email="heir@harbour.test")
    await update(owner, owner.id, email="new@harbour.test")
    await owner.call("TransferOwnership", staff_id=heir.id)

    emails = world.rows(
        "select email from staff_emails where staff_id = %s order by changed_at", owner.id
    )
    owners = world.rows(
        "select staff_id::text from account_owners where clinic_id = %s order by owner_since",
        owner.clinic_id,
    )

    assert [row[0] for row in emails] == ["olga@harbour.test", "new@harbour.test"]
    assert [row[0] for row in owners] == [owner.id, heir.id]


async def owner_addresses(world, owner, since):
    answer = await world.machine(
        "GetOwnerAddressHistory",
        name="service:export",
        clinic_id=owner.clinic_id,
        since_time=since,
    )
    return [(each.staff_id, each.email) for each in answer.owner_addresses]


async def test_an_export_is_told_which_address_was_the_owners_and_when(world, owner):
    """An address of somebody who was not the owner then, or is not any more, is no owner's."""
    heir = await world.staff(owner.clinic_id, email="heir@harbour.test")
    await update(heir, heir.id, email="heir2@harbour.test")
    await update(owner, owner.id, email="new@harbour.test")
    before = datetime.now(UTC)
    await owner.call("TransferOwnership", staff_id=heir.id)
    await update(owner, owner.id, email="later@harbour.test")
    await update(heir, heir.id, email="heir3@harbour.test")

    last = [
        (heir.id, "heir3@harbour.test"),
        (heir.id, "heir2@harbour.test"),
        (owner.id, "new@harbour.test"),
    ]
    assert await owner_addresses(world, owner, before) == last
    assert await owner_addresses(world, owner, datetime.now(UTC)) == last[:1]
    everything = await owner_addresses(world, owner, datetime(2020, 1, 1, tzinfo=UTC))
    assert everything == [*last, (owner.id, "olga@harbour.test")]


async def test_staff_are_listed_by_name_in_pages(world, owner):
    for name in ("Émile", "anna", "Zoë"):
        await world.staff(owner.clinic_id, display_name=name)

    first = await owner.call("ListStaffMembers", page_size=3)
    second = await owner.call("ListStaffMembers", page_size=3, page_token=first.next_page_token)

    names = [member.display_name for page in (first, second) for member in page.staff_members]
    assert names == ["anna", "Émile", "Olga Owner", "Zoë"]
    assert second.next_page_token == ""


async def test_only_oneself_ticks_mail_whatever_the_access_of_others(world, owner):
    doctor = await world.staff(owner.clinic_id, LIMITED)

    error = await failure(
        owner.call("UpdateNotificationPreference", staff_id=doctor.id, mail_opted_in=True)
    )

    assert (error.code(), reason(error)) == (DENIED, "NOT_ONESELF")
    assert not (await world.state(owner.clinic_id, staff_id=doctor.id)).HasField("mail_opt_in_time")
    answer = await doctor.call(
        "UpdateNotificationPreference", staff_id=doctor.id, mail_opted_in=True
    )
    assert answer.staff_member.mail_opted_in
    assert world.notifications.told[-1].subject.mail_opted_in_at is not None


async def test_ticking_twice_keeps_the_first_time(world, owner):
    first = await owner.call("UpdateNotificationPreference", staff_id=owner.id, mail_opted_in=True)
    second = await owner.call("UpdateNotificationPreference", staff_id=owner.id, mail_opted_in=True)

    assert first.staff_member == second.staff_member


async def test_an_unsubscribe_unticks_and_its_late_repeat_does_not_undo_a_later_tick(world, owner):
    tick = {"staff_id": owner.id, "mail_opted_in": True}
    clear = {"clinic_id": owner.clinic_id, "staff_id": owner.id, "request_id": str(uuid4())}
    await owner.call("UpdateNotificationPreference", **tick)

    cleared = await world.machine(
        "ClearNotificationPreference", name="service:notifications", **clear
    )
    await owner.call("UpdateNotificationPreference", **tick)
    repeat = await world.machine(
        "ClearNotificationPreference", name="service:notifications", **clear
    )

    assert not cleared.staff_member.mail_opted_in
    assert repeat.staff_member.mail_opted_in


async def test_the_unsubscribe_of_an_old_mail_does_not_undo_a_later_tick(world, owner):
    tick = {"staff_id": owner.id, "mail_opted_in": True}
    clear = {"clinic_id": owner.clinic_id, "staff_id": owner.id}
    await owner.call("UpdateNotificationPreference", **tick)
    ticked_at = (await world.state(owner.clinic_id, staff_id=owner.id)).mail_opt_in_time
    before = Timestamp(seconds=ticked_at.seconds - 1)

    old, of_now = [
        await world.machine(
            "ClearNotificationPreference",
            name="service:notifications",
            mail_time=mail_time,
            **clear,
        )
        for mail_time in (before, ticked_at)
    ]

    assert old.staff_member.mail_opted_in
    assert not of_now.staff_member.mail_opted_in


async def test_who_leaves_is_signed_out_and_conversations_knows_it(world, owner):
    doctor = await world.staff(owner.clinic_id, LIMITED)

    answer = await owner.call("DeactivateStaffMember", staff_id=doctor.id)

    assert answer.applied
    assert not answer.staff_member.active
    session = await world.state(owner.clinic_id, session_id=doctor.session_id)
    assert session.end_cause == session_pb2.SESSION_END_CAUSE_DEACTIVATED
    told = {str(state.subject.id) for state in world.conversations.told}
    assert {doctor.id, doctor.session_id} <= told
    assert reason(await failure(doctor.call("GetClinic"))) == "SESSION_ENDED"


async def test_who_left_cannot_sign_in_until_they_are_back(world, owner):
    doctor = await world.staff(owner.clinic_id, LIMITED)
    await owner.call("DeactivateStaffMember", staff_id=doctor.id)

    error = await failure(world.sign_in(owner.clinic_id, staff_id=doctor.id))

    assert (error.code(), reason(error)) == (REFUSED, "STAFF_INACTIVE")
    answer = await owner.call("ReactivateStaffMember", staff_id=doctor.id)
    assert answer.staff_member.active
    assert answer.staff_member.deactivation_id == ""
    assert await world.sign_in(owner.clinic_id, staff_id=doctor.id)


async def test_leaving_twice_is_one_deactivation(world, owner):
    doctor = await world.staff(owner.clinic_id, LIMITED)

    first = await owner.call("DeactivateStaffMember", staff_id=doctor.id)
    second = await owner.call("DeactivateStaffMember", staff_id=doctor.id)

    assert first.staff_member.deactivation_id == second.staff_member.deactivation_id != ""
    assert first.staff_member.etag == second.staff_member.etag


async def test_a_late_repeat_of_a_deactivation_does_not_undo_a_return(world, owner):
    doctor = await world.staff(owner.clinic_id, LIMITED)
    again = {"staff_id": doctor.id, "request_id": str(uuid4())}
    await owner.call("DeactivateStaffMember", **again)
    await owner.call("ReactivateStaffMember", staff_id=doctor.id)

    repeat = await owner.call("DeactivateStaffMember", **again)

    assert repeat.staff_member.active


async def test_only_full_access_deactivates_and_reactivates(world, owner):
    doctor, colleague = [await world.staff(owner.clinic_id, STANDARD) for _ in range(2)]

    for method in ("DeactivateStaffMember", "ReactivateStaffMember"):
        error = await failure(colleague.call(method, staff_id=doctor.id))

        assert (error.code(), reason(error)) == (DENIED, "FULL_ACCESS_REQUIRED")
    assert (await world.state(owner.clinic_id, staff_id=doctor.id)).active


async def test_the_account_owner_cannot_be_deactivated(world, owner):
    admin = await world.staff(owner.clinic_id, FULL)

    for person in (owner, admin):
        error = await failure(person.call("DeactivateStaffMember", staff_id=owner.id))

        assert (error.code(), reason(error)) == (REFUSED, "OWNER_CANNOT_BE_DEACTIVATED")


async def test_ownership_goes_to_another_and_the_former_owner_keeps_full_access(world, owner):
    heir = await world.staff(owner.clinic_id, LIMITED)

    answer = await owner.call("TransferOwnership", staff_id=heir.id)

    assert answer.staff_member.account_owner
    former = (await heir.call("GetStaffMember", staff_id=owner.id)).staff_member
    assert (former.account_owner, former.access_level) == (False, FULL)
    assert [state.account_owner for state in world.events_of(owner.id)] == [True, False]
    assert [state.account_owner for state in world.events_of(heir.id)] == [False, True]


async def test_only_the_owner_transfers_ownership(world, owner):
    admin = await world.staff(owner.clinic_id, FULL)

    error = await failure(admin.call("TransferOwnership", staff_id=admin.id))

    assert (error.code(), reason(error)) == (DENIED, "OWNER_REQUIRED")


async def test_ownership_does_not_go_to_who_left(world, owner):
    heir = await world.staff(owner.clinic_id)
    await owner.call("DeactivateStaffMember", staff_id=heir.id)

    error = await failure(owner.call("TransferOwnership", staff_id=heir.id))

    assert (error.code(), reason(error)) == (REFUSED, "STAFF_INACTIVE")


async def test_two_transfers_at_once_leave_one_owner(world, owner):
    heirs = [await world.staff(owner.clinic_id) for _ in range(2)]

    answers = await asyncio.gather(
        *(owner.call("TransferOwnership", staff_id=heir.id) for heir in heirs),
        return_exceptions=True,
    )

    refused = [answer for answer in answers if isinstance(answer, grpc.aio.AioRpcError)]
    assert [reason(error) for error in refused] == ["OWNER_REQUIRED"]
    owners = world.rows(
        "select count(*) from staff_members where clinic_id = %s and account_owner",
        owner.clinic_id,
    )
    assert owners == [(1,)]
