"""The first part of the tour: a clinic opens, and one message goes through and back."""

from clinic.conversations.v1 import conversation_pb2, message_pb2
from clinic.directory.v1 import clinic_pb2, profile_pb2, staff_member_pb2
from clinic.directory.v1 import directory_service_pb2 as pb
from services.cli import people
from services.cli.actor import Actor
from services.cli.confirming import confirmed
from services.cli.mailbox import Mail
from services.cli.sessions import profile, staff
from services.cli.suite import Caller
from services.cli.tour.cast import Cast, Stage

TEXT = (
    "Good morning Nadia,\n\nyour results are in, and all is well 🙂\n"
    "More about them: https://example.test/results?n=1\n"
)
ANSWER = "Thank you, what a relief! 谢谢"


async def open_clinic(stage: Stage) -> Cast:
    """A clinic with its owner, staff, a patient and a contact."""
    tell = stage.narrator
    tell.chapter("A clinic opens")
    async with tell.step("A clinic is made, with its Account Owner") as step:
        made = await people.create_clinic(
            stage.suite,
            stage.desk.platform(),
            name="Harbour Street Clinic",
            owner="Olivia Grant",
            owner_email="owner@clinic.example.test",
        )
        step.expect(made.staff_member.account_owner, f"{made.clinic.name}, owned by Olivia Grant")
    clinic_id = made.clinic.clinic_id
    owner = await stage.join(
        staff(made.staff_member.staff_id),
        clinic_id=clinic_id,
        name="the owner",
        email=made.staff_member.email,
    )
    manager, practitioner, colleague, front_desk = await _hire(stage, clinic_id)
    patient, contact = await _register(stage, clinic_id, colleague)
    return Cast(clinic_id, owner, manager, practitioner, colleague, front_desk, patient, contact)


async def _hire(stage: Stage, clinic_id: str) -> tuple[Actor, Actor, Actor, Actor]:
    platform = stage.desk.platform(clinic_id)
    standard = staff_member_pb2.ACCESS_LEVEL_STANDARD
    hired = []
    async with stage.narrator.step("Four people work there, with different access") as step:
        for name, role, access in (
            ("Marta Keller", "the manager", staff_member_pb2.ACCESS_LEVEL_FULL),
            ("Dr. Maya Lindqvist", "the practitioner", standard),
            ("Dr. Tomás Rivera", "a colleague", standard),
            ("Sam Porter", "the front desk", staff_member_pb2.ACCESS_LEVEL_LIMITED),
        ):
            hired.append(await _hired(stage, platform, clinic_id, name, role, access))
        step.expect(
            len({each.id for each in hired}) == 4,
            "a manager with full access, two practitioners, and the front desk with limited access",
        )
    return hired[0], hired[1], hired[2], hired[3]


async def _hired(
    stage: Stage,
    platform: Caller,
    clinic_id: str,
    name: str,
    role: str,
    access: staff_member_pb2.AccessLevel,
) -> Actor:
    email = f"{role.split()[-1]}@clinic.example.test"
    made = await people.create_staff(stage.suite, platform, name=name, email=email, access=access)
    return await stage.join(staff(made.staff_id), clinic_id=clinic_id, name=role, email=email)


async def _register(stage: Stage, clinic_id: str, by: Actor) -> tuple[Actor, Actor]:
    registered = []
    async with stage.narrator.step("A patient and her mother, a contact, are registered") as step:
        for name, role, kind in (
            ("Nadia Haddad", "the patient", profile_pb2.PROFILE_KIND_PATIENT),
            ("Leila Haddad", "the contact", profile_pb2.PROFILE_KIND_CONTACT),
        ):
            email = f"{role.split()[-1]}@example.test"
            made = await people.create_profile(
                stage.suite, by.caller, name=name, email=email, kind=kind
            )
            who = profile(made.profile_id)
            registered.append(await stage.join(who, clinic_id=clinic_id, name=role, email=email))
        step.expect(len(registered) == 2, "both can sign in to the patient portal")
    return registered[0], registered[1]


async def switch_on(stage: Stage, cast: Cast) -> None:
    """Messaging is off, and only full access switches it on (R1, R2)."""
    tell = stage.narrator
    tell.chapter("Messaging is off until the clinic wants it")
    async with tell.step("The practitioner tries to start a conversation") as step:
        refused = await cast.practitioner.cannot_start(cast.patient.id)
        step.expect_refusal(refused, "MESSAGING_DISABLED")
        step.expect(not await cast.patient.inbox(), "nothing in the patient's Messages area")
    switch = people.allow_messaging(hold_seconds=0)
    stubs = stage.suite.directory
    async with tell.step("The front desk, with limited access, tries to switch it on") as step:
        refused = await cast.front_desk.caller.refused(stubs.UpdateMessagingSettings, switch)
        step.expect_refusal(refused, "FULL_ACCESS_REQUIRED")
        asked = await cast.owner.caller.call(
            stubs.GetMessagingSettings, pb.GetMessagingSettingsRequest()
        )
        off = asked.messaging_settings.messaging_policy == clinic_pb2.MESSAGING_POLICY_OFF
        step.expect(off, "messaging is still off")
    async with tell.step("The manager, with full access, switches it on") as step:
        stub = stubs.UpdateMessagingSettings
        answer = await confirmed(cast.manager.caller, stub, switch)
        settings = answer.messaging_settings
        on = settings.messaging_policy == clinic_pb2.MESSAGING_POLICY_ALLOWED
        step.expect(on, "messaging is allowed")
        step.expect(answer.applied, "it is in force")


async def write_first(
    stage: Stage, cast: Cast
) -> tuple[conversation_pb2.Conversation, message_pb2.Message, Mail]:
    """The conversation, its first message, and the mail about it (R4, R5, R9, R14, R15)."""
    tell = stage.narrator
    tell.chapter("The practitioner writes to the patient")
    async with tell.step("She finds the patient by the beginning of a name") as step:
        found = await cast.practitioner.caller.call(
            stage.suite.directory.SearchProfiles, pb.SearchProfilesRequest(query="nad")
        )
        ids = [each.profile.profile_id for each in found.results if each.can_message]
        step.expect(ids == [cast.patient.id], "one person, who can be messaged")
    async with tell.step("She starts the conversation") as step:
        thread = await cast.practitioner.start(cast.patient.id)
        again = await cast.practitioner.start(cast.patient.id)
        same = again.conversation_id == thread.conversation_id
        step.expect(same, "starting twice gives one and the same conversation")
        step.expect(not await cast.patient.inbox(), "the patient sees nothing of it yet")
    async with tell.step("She sends a message of several lines, with an emoji and a link") as step:
        message = await cast.practitioner.send(thread.conversation_id, TEXT)
        step.expect(message.body == TEXT, "taken as it was typed, byte for byte")
        links = [link.url for link in message.links]
        step.expect(links == ["https://example.test/results?n=1"], "the link can be clicked")
    async with tell.step("The patient gets a mail") as step:
        mail = await stage.mail(to=cast.patient.email, about=thread.conversation_id)
        step.expect(bool(mail.link), f"its link leads to the patient portal: {mail.link}")
        told = [word for word in (*TEXT.split("\n"), "Nadia", "Lindqvist") if word.strip()]
        step.expect(not any(mail.mentions(word) for word in told), "it holds no text and no names")
    return thread, message, mail


async def follow_link(stage: Stage, cast: Cast, mail: Mail) -> None:
    """A link says whom it is for, and nothing else (R15, R42)."""
    async with stage.narrator.step("The patient follows the link and signs in") as step:
        outcome = await cast.patient.follow_link(
            mail.conversation_id, meant_for=cast.patient.person
        )
        step.expect(outcome == "OK", "it is for her")
        outcome = await cast.contact.follow_link(
            mail.conversation_id, meant_for=cast.patient.person
        )
        step.expect(outcome == "WRONG_PROFILE", "her mother, signed in, learns only: not for you")
        step.expect(await cast.patient.badge() == 1, "following a link leaves the message unread")
