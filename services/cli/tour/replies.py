"""Reading, answering, taking back, and who may not (R8 to R40)."""

from services.cli.tour.cast import Cast, Stage
from services.cli.tour.thread import ANSWER, TEXT

SLIP = "This was meant for somebody else."


async def read_and_answer(stage: Stage, cast: Cast, conversation_id: str) -> None:
    """The patient's side of it: R10, R16, R19 to R21; and the badge, R11."""
    tell = stage.narrator
    patient, practitioner = cast.patient, cast.practitioner
    tell.chapter("The patient reads and answers")
    async with tell.step("The patient looks at her Messages area") as step:
        listed = await patient.inbox()
        step.expect(len(listed) == 1, "one conversation, and nothing else")
        step.expect(listed[0].unread_count == 1, "with one unread message")
    async with tell.step("She opens it") as step:
        messages = await patient.messages(conversation_id)
        step.expect([each.body for each in messages] == [TEXT], "the text, byte for byte")
        step.expect(not messages[0].HasField("read_time"), "listing it marked nothing as read")
        left = await patient.mark_read(conversation_id, messages[-1].sequence)
        step.expect((left, await patient.badge()) == (0, 0), "nothing is unread now")
    async with tell.step("The practitioner sees that it was read") as step:
        messages = await practitioner.messages(conversation_id)
        step.expect(messages[0].HasField("read_time"), "a read time stands beside her message")
    async with tell.step("The patient answers") as step:
        step.expect(await practitioner.badge() == 0, "the practitioner's badge is 0 before")
        answer = await patient.send(conversation_id, ANSWER)
        step.expect(answer.body == ANSWER, "taken as it was typed")
        step.expect(await practitioner.badge() == 1, "the practitioner's badge is 1 after")
    async with tell.step("The practitioner reads the answer") as step:
        messages = await practitioner.messages(conversation_id)
        step.expect([each.body for each in messages] == [TEXT, ANSWER], "both messages, in order")
        left = await practitioner.mark_read(conversation_id, messages[-1].sequence)
        step.expect((left, await practitioner.badge()) == (0, 0), "her badge is 0 again")


async def take_back(stage: Stage, cast: Cast, conversation_id: str) -> None:
    """A message is deleted for good within five minutes (R27 to R30, I22)."""
    tell = stage.narrator
    tell.chapter("A slip is taken back")
    async with tell.step("The practitioner sends something to the wrong person") as step:
        slip = await cast.practitioner.send(conversation_id, SLIP)
        step.expect(await cast.patient.badge() == 1, "the patient has an unread message")
    async with tell.step("The patient cannot delete what she did not send") as step:
        step.expect_refusal(await cast.patient.cannot_delete(slip), "NOT_SENDER")
    async with tell.step("The practitioner deletes it") as step:
        tombstone = await cast.practitioner.delete(slip)
        step.expect(tombstone.HasField("delete_time"), "a tombstone remains in its place")
        for side in (cast.practitioner, cast.patient):
            last = (await side.messages(conversation_id))[-1]
            gone = last.sequence == slip.sequence and not last.body
            step.expect(gone, f"{side.name} sees that a message was deleted, without its text")
        step.expect(await cast.patient.badge() == 0, "nothing is unread any more")


async def keep_out(stage: Stage, cast: Cast, conversation_id: str) -> None:
    """What nobody may (R8, R18, R32, R36) and what a contact may (R40)."""
    tell = stage.narrator
    tell.chapter("Who may not")
    async with tell.step("The patient tries to start a conversation with a colleague") as step:
        refused = await cast.patient.cannot_start(cast.colleague.id)
        step.expect_refusal(refused, "PATIENT_CANNOT_INITIATE")
    async with tell.step("The practitioner tries to write to a colleague") as step:
        refused = await cast.practitioner.cannot_start(cast.colleague.id)
        step.expect_refusal(refused, "RECIPIENT_IS_STAFF")
    for somebody in (cast.colleague, cast.owner):
        async with tell.step(f"{somebody.name.capitalize()} looks for the conversation") as step:
            refused = await somebody.cannot_see(conversation_id)
            step.expect_refusal(refused, "CONVERSATION_NOT_FOUND")
            refused = await somebody.cannot_read(conversation_id)
            step.expect_refusal(refused, "CONVERSATION_NOT_FOUND")
            step.expect(not await somebody.inbox(), "nothing in that inbox either")
    async with tell.step("A contact is written to exactly like a patient") as step:
        thread = await cast.colleague.start(cast.contact.id)
        await cast.colleague.send(thread.conversation_id, "Could you bring Nadia's card?")
        mail = await stage.mail(to=cast.contact.email, about=thread.conversation_id)
        step.expect(bool(mail.link), "she gets her mail")
        step.expect(len(await cast.contact.inbox()) == 1, "and finds the conversation")
