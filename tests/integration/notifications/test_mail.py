"""From the fact to the mail, and what becomes of each delivery (R14, R23 to R26, I13 to I16)."""

from services.messaging_rule import Side
from tests.support.notifications_world import PORTAL


async def test_a_message_to_a_patient_makes_one_mail_with_a_link(world):
    thread = await world.thread()
    sent = await thread.send(Side.STAFF)

    await world.dispatch_due()

    (mail,) = world.mails(thread.profile_id)
    link = f"{PORTAL}/messages/{thread.id}?profile={thread.profile_id}"
    assert link in mail.part("plain")
    assert link in mail.part("html")
    assert world.outcome(sent) == "SENT"
    assert world.told(sent) == 1
