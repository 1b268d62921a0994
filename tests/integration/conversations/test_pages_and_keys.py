"""Pages that fit a response, and keys that change under what they sealed."""

from uuid import uuid4

import grpc
from sqlalchemy import text

from clinic.conversations.v1 import conversations_service_pb2 as pb
from services.chassis.identity import Caller, Role
from tests.support.grpc_world import failure, reason

_SWAP = text("""
update messages set ciphertext = (select ciphertext from messages where conversation_id = :there)
where conversation_id = :here
""")


async def every_page(person, conversation_id, order):
    bodies, token = [], ""
    while True:
        request = pb.ListMessagesRequest(
            conversation_id=conversation_id, order=order, page_size=200, page_token=token
        )
        page = await person.world.stub.ListMessages(request, metadata=person.metadata)
        bodies += [message.body for message in page.messages]
        token = page.next_page_token
        if not token:
            return bodies


async def test_long_messages_come_in_pages_that_fit(world):
    doctor, patient = await world.staff(), await world.profile()
    thread = await doctor.start(patient)
    sent = [("http://a.t " * 900)[:9_000] + str(n) for n in range(60)]
    for body in sent:
        await doctor.send(thread.conversation_id, body)

    oldest = await every_page(patient, thread.conversation_id, pb.MESSAGE_ORDER_OLDEST_FIRST)
    newest = await every_page(patient, thread.conversation_id, pb.MESSAGE_ORDER_NEWEST_FIRST)

    assert oldest == sent
    assert newest == sent[::-1]


async def test_what_is_searched_for_has_a_bound(world):
    doctor = await world.staff()

    assert await doctor.inbox(query="a" * 100) == []
    assert reason(await failure(doctor.inbox(query="a " * 51))) == "FIELD_INVALID"


async def test_what_an_older_key_sealed_stays_readable(world):
    doctor, patient = await world.staff(), await world.profile()
    thread = await doctor.start(patient)
    await doctor.send(thread.conversation_id, "before")
    keys = world.storage._texts._keys
    ops = Caller(
        role=Role.OPS, name="dev", clinic_id=world.clinic_id, expires_at=world.keys.clock()
    )
    request_id = uuid4()

    version = await keys.rotate(ops, request_id)
    repeated = await keys.rotate(ops, request_id)
    keys._current.clear()  # as after a minute
    await doctor.send(thread.conversation_id, "after")

    assert (version, repeated) == (2, 2)
    bodies = [message.body for message in await patient.messages(thread.conversation_id)]
    assert bodies == ["before", "after"]


async def test_a_row_that_is_moved_does_not_decrypt(world):
    doctor = await world.staff()
    here = await doctor.start(await world.profile())
    there = await doctor.start(await world.profile())
    await doctor.send(here.conversation_id, "mine")
    await doctor.send(there.conversation_id, "theirs")

    async def swap(connection, _):
        await connection.execute(
            _SWAP, {"here": here.conversation_id, "there": there.conversation_id}
        )

    await world.database.transact(swap, clinics=[world.clinic_id])

    error = await failure(doctor.messages(here.conversation_id))
    assert error.code() == grpc.StatusCode.INTERNAL
    assert "theirs" not in str(error)
