"""A practitioner leaves the clinic (R53 to R55)."""

from clinic.conversations.v1 import conversation_pb2
from clinic.directory.v1 import directory_service_pb2 as pb
from services.chassis.ids import uuid7
from services.cli.confirming import confirmed
from services.cli.tour.cast import Cast, Stage


async def leave(stage: Stage, cast: Cast, conversation_id: str) -> None:
    tell = stage.narrator
    tell.chapter("The practitioner leaves the clinic")
    async with tell.step("The manager marks her inactive") as step:
        request = pb.DeactivateStaffMemberRequest(
            staff_id=cast.practitioner.id, request_id=str(uuid7())
        )
        stub = stage.suite.directory.DeactivateStaffMember
        answer = await confirmed(cast.manager.caller, stub, request)
        step.expect(not answer.staff_member.active, "she is inactive")
        step.expect(answer.applied, "it is in force")
    async with tell.step("The practitioner, still signed in, tries to send") as step:
        refused = await cast.practitioner.cannot_send(conversation_id, "One last thing …")
        step.expect_refusal(refused, "SESSION_ENDED")
    async with tell.step("The patient still reads what was written") as step:
        messages = await cast.patient.messages(conversation_id)
        step.expect(len(messages) == 3, "two messages and a tombstone")
        seen = await cast.patient.conversation(conversation_id)
        causes = [each.cause for each in seen.archive_reasons]
        left = causes == [conversation_pb2.ARCHIVE_CAUSE_STAFF_INACTIVE]
        step.expect(left and not seen.can_write, "archived because she left, and read-only")
    async with tell.step("The patient tries to write") as step:
        refused = await cast.patient.cannot_send(conversation_id, "Are you there?")
        step.expect_refusal(refused, "CONVERSATION_READ_ONLY")
    async with tell.step("Nobody inherits her conversations") as step:
        for somebody in (cast.colleague, cast.manager, cast.owner):
            refused = await somebody.cannot_read(conversation_id)
            step.expect_refusal(refused, "CONVERSATION_NOT_FOUND")
