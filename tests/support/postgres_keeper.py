"""Keeps one PostgreSQL for a whole test run: `python -m tests.support.postgres_keeper <directory>`.

The workers of a run come and go, and any of them may be killed, so none of them can own the
server. Each holds a shared lock on the file `users`; this process waits for the exclusive lock on
it, which the kernel gives when the last of them is gone, however it went. PostgreSQL in turn is on
this process's leash.
"""

import asyncio
import json
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from secrets import token_hex

from deploy.local import postgres
from deploy.local.ports import claim_port
from deploy.local.process import Process, start
from tests.support import locks

# Nothing here has to survive a power cut.
_SETTINGS = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "on"}


async def keep(run: Path) -> None:
    port, claim = claim_port()
    state = Path(tempfile.mkdtemp(prefix="clinic-tests-"))
    cluster = postgres.Cluster(state, port, token_hex(16), _SETTINGS)
    address = run / "server.json"
    with claim:
        try:
            async with _running(cluster):
                address.write_text(json.dumps({"port": port, "password": cluster.password}))
                print("ready", flush=True)
                await asyncio.to_thread(_wait_until_unused, run, address)
        finally:
            postgres.remove(state)
            shutil.rmtree(state)


@asynccontextmanager
async def _running(cluster: postgres.Cluster) -> AsyncIterator[Process]:
    # The server's own account has to get through; mkdtemp lets nobody.
    cluster.state.chmod(0o711)
    postgres.prepare(cluster)
    server = await start(postgres.part(cluster, cluster.state / "postgres.log"))
    try:
        while not await server.part.ready():
            if server.exit_code is not None:
                sys.exit(server.part.log.read_text())
            await asyncio.sleep(0.02)
        yield server
    finally:
        await server.terminate()


def _wait_until_unused(run: Path, address: Path) -> None:
    with locks.exclusive(run / "users"):
        address.unlink()


if __name__ == "__main__":
    asyncio.run(keep(Path(sys.argv[1])))
