"""Two records of one person are merged under the patient's eyes, and un-merged (R48 to R52)."""

from clinic.conversations.v1 import conversation_pb2
from clinic.directory.v1 import directory_service_pb2 as pb
from clinic.directory.v1 import merge_pb2
from services.chassis.ids import uuid7
from services.cli import people
from services.cli.actor import Actor
from services.cli.confirming import confirmed
from services.cli.mailbox import Mail
from services.cli.sessions import profile
from services.cli.tour.cast import Cast, Stage

NOTE = "Your appointment is on Monday at nine."


async def merge_and_undo(stage: Stage, cast: Cast) -> None:
    stage.narrator.chapter("One person, registered twice")
    duplicate, thread, mail = await _write_to_duplicate(stage, cast)
    merge = await _merge(stage, cast, duplicate)
    await _look_around(stage, cast, duplicate, thread, mail)
    await _undo(stage, cast, duplicate, thread, merge)


async def _write_to_duplicate(
    stage: Stage, cast: Cast
) -> tuple[Actor, conversation_pb2.Conversation, Mail]:
    tell, staff_side = stage.narrator, cast.practitioner
    async with tell.step("Somebody registers the patient a second time") as step:
        made = await people.create_profile(
            stage.suite, cast.colleague.caller, name="Nadia Haddad", email=cast.patient.email
        )
        duplicate = await stage.join(
            profile(made.profile_id),
            clinic_id=cast.clinic_id,
            name="the duplicate",
            email=cast.patient.email,
        )
        likely = await cast.manager.caller.call(
            stage.suite.directory.ListLikelyDuplicates,
            pb.ListLikelyDuplicatesRequest(profile_id=cast.patient.id),
        )
        ids = [each.profile.profile_id for each in likely.likely_duplicates]
        step.expect(duplicate.id in ids, "the two are listed as likely duplicates")
    async with tell.step("The practitioner writes to the second record") as step:
        thread = await staff_side.start(duplicate.id)
        await staff_side.send(thread.conversation_id, NOTE)
        mail = await stage.mail(to=duplicate.email, about=thread.conversation_id)
        step.expect(await duplicate.badge() == 1, "one unread message there")
    return duplicate, thread, mail


async def _merge(stage: Stage, cast: Cast, duplicate: Actor) -> merge_pb2.Merge:
    before = await cast.patient.inbox()
    async with stage.narrator.step("The manager merges the second record into the first") as step:
        request = pb.MergeProfilesRequest(
            primary_profile_id=cast.patient.id,
            secondary_profile_id=duplicate.id,
            request_id=str(uuid7()),
        )
        stub = stage.suite.directory.MergeProfiles
        answer = await confirmed(cast.manager.caller, stub, request)
        step.expect(answer.applied, "it is in force")
        after = await cast.patient.inbox()
        step.expect(after == before, "the first record's conversations are exactly as they were")
    return answer.merge


async def _look_around(
    stage: Stage,
    cast: Cast,
    duplicate: Actor,
    thread: conversation_pb2.Conversation,
    mail: Mail,
) -> None:
    tell, id = stage.narrator, thread.conversation_id
    async with tell.step("The patient, still signed in to the second record, looks again") as step:
        refused = await duplicate.cannot_see(id)
        step.expect_refusal(refused, "SESSION_ENDED", "CONVERSATION_NOT_FOUND")
        refused = await duplicate.cannot_send(id, "Am I still there?")
        step.expect_refusal(refused, "SESSION_ENDED", "CONVERSATION_NOT_FOUND")
    async with tell.step("Signed in to the first record, she cannot reach it either") as step:
        step.expect_refusal(await cast.patient.cannot_see(id), "CONVERSATION_NOT_FOUND")
        step.expect_refusal(await cast.patient.cannot_read(id), "CONVERSATION_NOT_FOUND")
        outcome = await cast.patient.follow_link(mail.conversation_id, meant_for=duplicate.person)
        step.expect(outcome == "PROFILE_MERGED", "the link of the old mail says: merged")
    async with tell.step("The practitioner still reads it, as archived") as step:
        texts = [each.body for each in await cast.practitioner.messages(id)]
        step.expect(texts == [NOTE], "the text is there, to read and to copy")
        seen = await cast.practitioner.conversation(id)
        causes = [each.cause for each in seen.archive_reasons]
        merged = causes == [conversation_pb2.ARCHIVE_CAUSE_MERGED_AWAY]
        step.expect(merged and not seen.can_write, "archived because of the merge, and read-only")
    async with tell.step("She tries to write there") as step:
        refused = await cast.practitioner.cannot_send(id, "Hello?")
        step.expect_refusal(refused, "CONVERSATION_ARCHIVED")
        survivor = refused.metadata.get("surviving_profile_id") if refused else None
        step.expect(survivor == cast.patient.id, "the refusal names the record to write to instead")


async def _undo(
    stage: Stage,
    cast: Cast,
    duplicate: Actor,
    thread: conversation_pb2.Conversation,
    merge: merge_pb2.Merge,
) -> None:
    tell, id = stage.narrator, thread.conversation_id
    async with tell.step("The merge was a mistake: the manager undoes it") as step:
        request = pb.UnmergeProfilesRequest(merge_id=merge.merge_id, request_id=str(uuid7()))
        stub = stage.suite.directory.UnmergeProfiles
        answer = await confirmed(cast.manager.caller, stub, request)
        step.expect(answer.applied, "it is in force")
    async with tell.step("The patient signs in to the second record again") as step:
        back = await stage.join(
            duplicate.person,
            clinic_id=cast.clinic_id,
            name="the patient, there again",
            email=duplicate.email,
        )
        listed = await back.inbox()
        step.expect([each.conversation_id for each in listed] == [id], "the conversation is back")
        step.expect(await back.badge() == 1, "with its one unread message")
        texts = [each.body for each in await back.messages(id)]
        step.expect(texts == [NOTE], "and its text")
        await back.send(id, "Monday is fine.")
        step.expect(await cast.practitioner.badge() == 1, "her answer reaches the practitioner")
