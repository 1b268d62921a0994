import os
import signal
import sys
from pathlib import Path

import pytest

from deploy.local.process import Part, descendants
from deploy.local.supervisor import PartFailed, Supervisor
from tests.support.eventually import eventually
from tests.support.processes import alive

_WAIT = "import signal; print('started', flush=True); signal.pause()"
_STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {_WAIT}"
_PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {_WAIT!r}])"


@pytest.fixture
def part(tmp_path):
    def build(program, **options):
        log = tmp_path / "part.log"

        async def started():
            return "started" in log.read_text()

        return Part("part", (sys.executable, "-c", program), log, started, **options)

    return build


@pytest.fixture
def told():
    return []


@pytest.fixture
async def supervisor(told):
    supervisor = Supervisor(told.append)
    yield supervisor
    await supervisor.end(["part"])


async def test_a_part_that_dies_is_started_again_and_the_person_is_told(supervisor, part, told):
    await supervisor.start(part(_WAIT))
    first = supervisor.process("part").pid

    os.kill(first, signal.SIGKILL)

    async def another():
        try:
            return supervisor.process("part").pid != first
        except ProcessLookupError:
            return False

    await eventually(another)
    assert "part ended (killed by SIGKILL); it is started again in 0.2 s." in told[0]


async def test_a_part_that_was_killed_on_purpose_stays_down(supervisor, part, told):
    await supervisor.start(part(_WAIT))

    await supervisor.kill("part")

    with pytest.raises(ProcessLookupError):
        supervisor.process("part")
    assert told == []
    await supervisor.again("part")
    assert supervisor.process("part").pid


async def test_killing_a_part_kills_what_it_started(supervisor, part):
    await supervisor.start(part(_PARENT))
    [child] = descendants(supervisor.process("part").pid)

    await supervisor.kill("part")

    async def gone():
        return not alive(child)

    await eventually(gone)


async def test_a_part_that_does_not_end_when_asked_is_killed(supervisor, part):
    await supervisor.start(part(_STUBBORN, grace=0.2))
    pid = supervisor.process("part").pid

    await supervisor.term("part")

    assert not alive(pid)


async def test_a_part_that_never_becomes_ready_is_given_up_with_its_last_words(supervisor, part):
    failing = part("import sys; sys.exit('SETTINGS ARE WRONG')")

    with pytest.raises(PartFailed, match="SETTINGS ARE WRONG"):
        await supervisor.start(failing)


async def test_a_part_that_refuses_its_settings_is_not_tried_again(supervisor, part, told):
    refusing = part("import sys; print('A IS MISSING'); sys.exit(64)", refusals=frozenset({64}))

    with pytest.raises(PartFailed, match="A IS MISSING"):
        await supervisor.start(refusing)

    assert len(told) == 1


async def test_a_part_that_takes_too_long_is_given_up(supervisor, part):
    with pytest.raises(PartFailed, match=r"was not ready after 0\.3 s"):
        await supervisor.start(part("import signal; signal.pause()"), within=0.3)


async def test_a_paused_part_goes_on_where_it_was(supervisor, part):
    await supervisor.start(part(_WAIT))
    status = Path(f"/proc/{supervisor.process('part').pid}/stat")

    async def paused():
        return ") T " in status.read_text()

    async def sleeping():
        return ") S " in status.read_text()

    supervisor.signal("part", signal.SIGSTOP)
    await eventually(paused)
    supervisor.signal("part", signal.SIGCONT)
    await eventually(sleeping)


async def test_a_paused_part_can_be_ended(supervisor, part):
    await supervisor.start(part(_WAIT, grace=5))
    supervisor.signal("part", signal.SIGSTOP)

    await supervisor.term("part")

    with pytest.raises(ProcessLookupError):
        supervisor.process("part")
