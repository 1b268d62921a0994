import socket

import pytest

from deploy.local.ports import DEFAULTS, HOST, Ports, PortTaken, chosen, free, require_free, taken


def test_a_variable_moves_one_port_and_leaves_the_others():
    ports = chosen({"LOCAL_MAILBOX_SMTP_PORT": "2525"})

    assert ports["mailbox-smtp"] == 2525
    assert ports["directory"] == DEFAULTS["directory"]


def test_a_taken_port_is_told_with_its_part_and_the_variable_that_moves_it():
    with socket.socket() as holder:
        holder.bind((HOST, 0))
        holder.listen()
        number = holder.getsockname()[1]

        with pytest.raises(PortTaken) as refusal:
            require_free(Ports({"export-internal": number}), ["export-internal"])

    assert str(refusal.value) == (
        f"Port {number}, wanted by export-internal, is in use by another program. "
        "Stop that program, or choose another port with LOCAL_EXPORT_INTERNAL_PORT=<number>."
    )


def test_free_ports_are_different_ones_until_they_are_released():
    ours, theirs = free(), free()

    assert len({*ours.numbers.values(), *theirs.numbers.values()}) == 2 * len(DEFAULTS)
    assert not any(taken(number) for number in ours.numbers.values())
    ours.release()
    theirs.release()
