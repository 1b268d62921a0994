"""After a day in which everything happened: what people wrote is nowhere, and names only at home.

Every text, name and address of it holds a word made for the test (R29, R34, P7, P11, P12).
"""

from base64 import b64encode
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from clinic.conversations.v1 import conversations_service_pb2 as pb
from clinic.directory.v1 import directory_internal_service_pb2 as internal_pb
from clinic.directory.v1 import directory_service_pb2 as directory_pb
from clinic.export.v1 import export_internal_service_pb2 as export_pb
from clinic.export.v1 import export_pb2 as exports
from clinic.notifications.v1 import device_pb2
from clinic.notifications.v1 import notifications_service_pb2 as notifications_pb
from clinic.notifications.v1.delivery_pb2 import DELIVERY_STATE_FAILED
from clinic.notifications.v1.notifications_internal_service_pb2 import ListDeliveriesRequest
from services.chassis.ids import uuid7
from services.cli.commands.exports import create_export, get_export
from services.cli.commands.importing import import_profiles
from tests.support.eventually import eventually
from tests.support.grpc_world import failure
from tests.support.leaks import (
    forms_of,
    places_of_addresses,
    places_of_clinic_names,
    places_of_names,
    places_of_text,
    rows_with,
)
from tests.support.stack import mailbox_of, pushes_of
from tests.support.suite import open_clinic, suite_of

TEXT, DELETED = "qvtext", "qvgone"
NAMES = ("qvortex", "annaqv", "miaqv", "gusqv", "qvanda", "rowqv")
ADDRESS = "qvmail"
CLINIC = "qvharbor"
EVERYTHING = (TEXT, DELETED, *NAMES, ADDRESS, CLINIC)
_ROWS = (
    "external_id,display_name,email\n"
    "1,Rowqvist Importee,row.qvmail@example.test\n"
    '2,Rowqvern Importee,"qvmail is no address"\n'
)
_SEALED = (
    "select ciphertext, fingerprint from messages where conversation_id = %s and sequence = %s"
)


@pytest.fixture
async def suite(stack):
    async with suite_of(stack) as suite:
        yield suite


@pytest.fixture
async def clinic(stack, suite):
    yield await open_clinic(
        suite, name="Qvharbor Clinic", owner="Ownername Qvortex", owner_email="qvmail@owner.test"
    )
    await mailbox_of(stack).heal()


@pytest.fixture
async def anna(clinic):
    return await clinic.hire("Doctor Annaqvist", email="anna.qvmail@example.test")


@pytest.fixture
async def mia(clinic):
    return await clinic.register("Patient Miaqvern", email="mia.qvmail@example.test")


@pytest.fixture
async def thread(clinic, anna, mia):
    return await clinic.start(anna, mia)


def _message(conversation_id, body, *, request_id=None):
    return pb.SendMessageRequest(
        conversation_id=conversation_id, body=body, request_id=request_id or str(uuid7())
    )


async def test_no_text_and_no_name_is_found_outside_its_place(
    stack, suite, clinic, anna, mia, thread
):
    token = f"token:{uuid4().hex}"
    device = notifications_pb.RegisterDeviceRequest(
        platform=device_pb2.PLATFORM_FCM, push_token=token, request_id=str(uuid7())
    )
    await mia.call(suite.notifications.RegisterDevice, device)
    await _talk(suite, anna, mia, thread)
    sealed = await _slip_and_delete(stack, suite, anna, thread)
    await _look_around(suite, anna, thread)
    await _import(suite, clinic)
    refusals = await _be_refused(suite, clinic, anna, thread)
    await _reach_nobody(stack, suite, clinic, anna)
    await _mail_staff(stack, suite, clinic, mia)
    await _export(suite, clinic, anna)
    await eventually(lambda: pushes_of(stack).pushes(to=token))
    await eventually(lambda: mailbox_of(stack).mails(to="mia.qvmail@example.test"))

    exported = Path(stack.environment("export")["EXPORT_DIRECTORY"])
    assert await places_of_text(stack, [DELETED]) == []
    assert await places_of_text(stack, [TEXT], besides=exported) == []
    assert await places_of_names(stack, NAMES) == []
    assert await places_of_addresses(stack, [ADDRESS]) == []
    assert await places_of_clinic_names(stack, [CLINIC]) == []
    assert rows_with(stack, [column.hex() for column in sealed]) == []
    assert [word for word in EVERYTHING if word in refusals] == []


async def _talk(suite, anna, mia, thread):
    await anna.call(
        suite.conversations.SendMessage, _message(thread, "opening qvtext http://qv.test")
    )
    await mia.call(suite.conversations.SendMessage, _message(thread, "answer qvtext"))
    read = pb.MarkConversationReadRequest(conversation_id=thread, up_to_sequence=2)
    await anna.call(suite.conversations.MarkConversationRead, read)


async def _slip_and_delete(stack, suite, anna, thread):
    """What was stored of the text before it was deleted."""
    request = _message(thread, "deleted qvgone")
    slip = (await anna.call(suite.conversations.SendMessage, request)).message
    with psycopg.connect(stack.superuser_url("conversations")) as connection:
        [sealed] = connection.execute(_SEALED, [thread, slip.sequence]).fetchall()
    assert len(rows_with(stack, [column.hex() for column in sealed])) == len(sealed)
    deletion = pb.DeleteMessageRequest(
        conversation_id=thread, sequence=slip.sequence, request_id=str(uuid7())
    )
    await anna.call(suite.conversations.DeleteMessage, deletion)
    await anna.call(suite.conversations.SendMessage, request)  # a late repeat
    return sealed


async def _look_around(suite, anna, thread):
    searched = directory_pb.SearchProfilesRequest(query="miaqv")
    assert (await anna.call(suite.directory.SearchProfiles, searched)).results
    listed = pb.ListConversationsRequest(query="miaqv")
    await eventually(lambda: _listed(suite, anna, listed))
    await anna.call(
        suite.conversations.ListMessages, pb.ListMessagesRequest(conversation_id=thread)
    )
    explained = pb.ExplainDeliveryRequest(conversation_id=thread)
    answer = await anna.call(suite.conversations.ExplainDelivery, explained)
    assert [word for word in EVERYTHING if word in str(answer).lower()] == []


async def _listed(suite, anna, request):
    return (await anna.call(suite.conversations.ListConversations, request)).conversations


async def _import(suite, clinic):
    header = internal_pb.ImportProfilesRequest.Header(
        format=internal_pb.IMPORT_FORMAT_CSV, source_system="other", request_id=str(uuid7())
    )
    imported = await import_profiles(
        suite, clinic.desk.platform(clinic.id), header=header, chunks=iter([_ROWS.encode()])
    )
    assert (imported.summary.created, imported.summary.failed) == (1, 1)


async def _be_refused(suite, clinic, anna, thread):
    """Everything that the refusals told, in lower case."""
    first, stubs = str(uuid7()), suite.conversations
    await anna.call(stubs.SendMessage, _message(thread, "first qvtext", request_id=first))
    profile = directory_pb.CreateProfileRequest(request_id=str(uuid7()))
    profile.profile.display_name = "Wrongaddress Qvanda"
    profile.profile.email = "qvmail is not an address"
    attempts = (
        (anna, stubs.SendMessage, _message(thread, "reused qvtext", request_id=first)),
        (anna, stubs.SendMessage, _message(thread, "overlong qvtext" * 1_000)),
        (anna, stubs.SendMessage, _message(str(uuid7()), "astray qvtext")),
        (anna, stubs.SendMessage, _message("not an id qvtext", "qvtext")),
        (clinic.owner, stubs.SendMessage, _message(thread, "foreign qvtext")),
        (clinic.owner, suite.directory.CreateProfile, profile),
    )
    told = [await _refusal(person, stub, request) for person, stub, request in attempts]
    return " ".join(told)


async def _refusal(person, stub, request):
    error = await failure(stub(request, metadata=person.caller.metadata()))
    return f"{error} {error.trailing_metadata()}".lower()


async def _reach_nobody(stack, suite, clinic, anna):
    """A mail server that refuses an address says it aloud."""
    address = "gus.qvmail@example.test"
    await mailbox_of(stack).answer(address, code=550)
    gus = await clinic.register("Patient Gusqvern", email=address)
    thread = await clinic.start(anna, gus)
    await anna.call(suite.conversations.SendMessage, _message(thread, "unheard qvtext"))
    request = ListDeliveriesRequest(recipient_id=gus.id)

    async def given_up():
        ops = clinic.desk.ops(clinic.id)
        listed = await ops.call(suite.notifications_internal.ListDeliveries, request)
        return [each for each in listed.deliveries if each.state == DELIVERY_STATE_FAILED]

    await eventually(given_up, within=20)


async def _mail_staff(stack, suite, clinic, mia):
    away = await clinic.hire("Doctor Annaqvaway", email="away.qvmail@example.test")
    theirs = await clinic.start(away, mia)
    await away.call(suite.conversations.SendMessage, _message(theirs, "ask qvtext"))
    ticked = directory_pb.UpdateNotificationPreferenceRequest(
        staff_id=away.id, mail_opted_in=True, request_id=str(uuid7())
    )
    await away.call(suite.directory.UpdateNotificationPreference, ticked)
    await away.call(suite.directory.CloseSession, directory_pb.CloseSessionRequest())
    await mia.call(suite.conversations.SendMessage, _message(theirs, "reply qvtext"))
    await eventually(lambda: mailbox_of(stack).mails(to="away.qvmail@example.test"), within=20)


async def _export(suite, clinic, anna):
    ops = clinic.desk.ops(clinic.id)
    made = await create_export(suite, ops, staff_id=anna.id, requester="qvmail@owner.test")

    async def built():
        found = await get_export(suite, ops, made.export_id)
        return found.state == exports.EXPORT_STATE_READY

    await eventually(built, within=20)
    request = export_pb.DownloadExportRequest(export_id=made.export_id)
    parts = [
        part.chunk async for part in ops.download(suite.export_internal.DownloadExport, request)
    ]
    assert b"answer qvtext" in b"".join(parts)
    assert DELETED.encode() not in b"".join(parts)


async def test_the_search_for_leaks_finds_what_is_there(stack, suite):
    """An id, which is in events, in logs and in the link of a mail; a name, where it is at home."""
    clinic = await open_clinic(
        suite, name="Open Clinic", owner="Owner", owner_email="owner@example.test"
    )
    anna = await clinic.hire("Doctor Anna")
    zoe = await clinic.register("Patient Zoeqvern", email="zoe@example.test")
    thread = await clinic.start(anna, zoe)
    await anna.call(suite.conversations.SendMessage, _message(thread, "Hello"))
    await eventually(lambda: mailbox_of(stack).mails(to="zoe@example.test"))

    async def found():
        places = "\n".join(await places_of_names(stack, [thread]))
        for expected in (".blk", ".eml", "conversations.outbox", "notifications.deliveries"):
            assert expected in places
        in_tables = [place for place in await places_of_text(stack, ["zoeqvern"]) if "." in place]
        return "directory.profiles: zoeqvern" in in_tables

    assert await eventually(found)


@pytest.mark.parametrize("before", [b"", b"a", b"ab", b"abc"])
def test_the_search_knows_a_word_in_other_forms(before):
    content = before + b"Qvtext and more"
    written = (content.decode(), content.hex(), b64encode(content).decode())

    assert all(any(form in each.lower() for form in forms_of(["Qvtext"])) for each in written)
