import json
import os
import signal
import subprocess
import sys
import tempfile
from itertools import takewhile
from urllib.request import urlopen

import pytest

from deploy.local.ports import SERVICES, free, variable
from deploy.local.process import descendants, leashed
from tests.support.processes import alive

_LAST_LINE = "Ctrl-C stops all of it.\n"


class Checkout:
    """A person's state directory, and the commands that the person types."""

    def __init__(self, directory, ports):
        moved = {variable(name): str(number) for name, number in ports.numbers.items()}
        self._environment = {**os.environ, **moved, "LOCAL_STATE": f"{directory}/state"}

    def up(self):
        command = leashed(*self._command("up"), by=signal.SIGTERM)
        return subprocess.Popen(command, stdout=subprocess.PIPE, **self._options())

    def run(self, *words):
        return subprocess.run(self._command(*words), capture_output=True, **self._options())

    def running(self):
        with open(self._environment["LOCAL_STATE"] + "/stack.json") as summary:
            return json.load(summary)

    def _command(self, *words):
        return (sys.executable, "-m", "deploy.local", *words)

    def _options(self):
        return {"env": self._environment, "text": True}


def _said_until_ready(terminal):
    """Everything up to the last line, which it says only when all is ready."""
    said = list(takewhile(lambda line: line != _LAST_LINE, terminal.stdout))
    assert terminal.poll() is None, "".join(said)
    return "".join(said)


@pytest.fixture(scope="module")
def checkout():
    ports = free()
    with tempfile.TemporaryDirectory(prefix="clinic-test-") as directory:
        os.chmod(directory, 0o755)
        checkout = Checkout(directory, ports)
        yield checkout
        checkout.run("reset")
    ports.release()


@pytest.fixture
def terminal(checkout):
    with checkout.up() as terminal:
        yield terminal
        terminal.send_signal(signal.SIGINT)
        terminal.stdout.read()


def test_it_says_where_everything_is_and_how_to_try_it(checkout, terminal):
    said = _said_until_ready(terminal)

    running = checkout.running()
    for service in SERVICES:
        assert running["services"][service]["public"] in said
        assert urlopen(running["services"][service]["http"] + "/readyz").status == 200
    assert running["mailbox"] in said
    assert "Tokens of the demo clinic" in said
    assert said.count(".venv/bin/clinic ") >= 3


def test_ctrl_c_ends_everything_and_the_next_start_finds_the_demo_clinic_again(checkout, terminal):
    before = _said_until_ready(terminal).partition("To try:")[2]
    everything = descendants(terminal.pid)

    terminal.send_signal(signal.SIGINT)

    assert terminal.wait(30) == 0
    assert not any(alive(pid) for pid in everything)
    with checkout.up() as again:
        assert _said_until_ready(again).partition("To try:")[2] == before
        again.send_signal(signal.SIGINT)
        again.stdout.read()


def test_a_second_one_is_refused_and_stop_ends_the_first(checkout, terminal):
    _said_until_ready(terminal)

    refused = checkout.run("up")
    stopped = checkout.run("stop")

    assert refused.returncode == 1
    assert f"as process {terminal.pid}" in refused.stderr
    assert stopped.stdout == "Stopped.\n"
    assert terminal.wait(5) == 0


def test_one_that_was_killed_is_not_in_the_way_of_the_next(checkout, terminal):
    _said_until_ready(terminal)

    terminal.kill()

    with checkout.up() as again:
        assert "Ready after" in _said_until_ready(again)
        again.send_signal(signal.SIGINT)
        again.stdout.read()


def test_it_can_be_interrupted_while_it_starts(checkout, terminal):
    terminal.stdout.readline()
    terminal.send_signal(signal.SIGINT)

    assert terminal.wait(30) == 0
    assert "Stopped" in terminal.stdout.read()
