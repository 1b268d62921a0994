"""Support gives a clinic a new key, and its messages stay what they are."""

import json

from clinic.conversations.v1 import conversations_service_pb2 as pb
from services.chassis.ids import uuid7
from services.cli.__main__ import build_parser, run
from services.cli.actor import all_messages
from tests.support.suite import open_clinic, suite_of


async def test_a_clinic_s_key_is_rotated_by_a_command(stack, capsys, monkeypatch):
    monkeypatch.setenv("LOCAL_STATE", str(stack.plan.state.directory))
    async with suite_of(stack) as suite:
        clinic = await open_clinic(
            suite, name="Quince Clinic", owner="Owner", owner_email="owner@quince.test"
        )
        mia = await clinic.register("Mia", email="mia@quince.test")
        thread = await clinic.start(clinic.owner, mia)
        for version, body in ((2, "before"), (3, "between")):
            request = pb.SendMessageRequest(
                conversation_id=thread, body=body, request_id=str(uuid7())
            )
            await clinic.owner.call(suite.conversations.SendMessage, request)

            words = ["ops", "keys", "rotate", "--clinic", clinic.id, "--json"]
            assert await run(build_parser().parse_args(words)) == 0
            assert json.loads(capsys.readouterr().out) == {"key_version": version}

        read = await all_messages(suite, mia.caller, thread)
        assert [message.body for message in read] == ["before", "between"]
