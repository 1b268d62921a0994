"""What `clinic ops status` says of consumers that are behind."""

from clinic.operations.v1 import operations_service_pb2 as pb
from services.cli.commands.ops import _behind


def status(incarnation, last, **positions):
    return pb.GetStatusResponse(
        incarnation=incarnation,
        last_position=last,
        consumers=[
            pb.ConsumerStatus(source=source, position=position, incarnation="i1")
            for source, position in positions.items()
        ],
    )


def test_a_consumer_is_behind_by_what_its_source_has_more():
    sources = {"directory": status("i1", 12), "conversations": status("i1", 7)}
    reader = status("i9", 0, directory=10, conversations=7)

    assert _behind(reader, sources) == "2 of directory, 0 of conversations"


def test_nothing_is_said_of_a_source_that_did_not_answer_or_began_anew():
    reader = status("i9", 0, directory=10, conversations=7)

    assert _behind(reader, {"conversations": status("i2", 3)}) == ""
