"""`python -m deploy.local.pushes --http2-port 8028 --web-port 8027 --keys … --directory …`"""

import argparse
import asyncio
import signal
from pathlib import Path

from deploy.local.ports import HOST
from deploy.local.pushes.credentials import Apple, Google
from deploy.local.pushes.faults import Faults
from deploy.local.pushes.http2 import Protocol
from deploy.local.pushes.services import PushServices
from deploy.local.pushes.store import Pushes
from deploy.local.pushes.web import Web


async def serve(directory: Path, keys: Path, *, http2_port: int, web_port: int) -> None:
    loop = asyncio.get_running_loop()
    pushes, faults, google = Pushes(directory), Faults(), Google(keys)
    services = PushServices(google, Apple(keys), pushes, faults)
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    http2 = await loop.create_server(lambda: Protocol(services.answer, faults), HOST, http2_port)
    web = await asyncio.start_server(Web(pushes, faults, google).serve, HOST, web_port)
    await ended.wait()
    http2.close()
    web.close()


def main() -> None:
    parser = argparse.ArgumentParser(description="Takes every push and shows it.")
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--keys", type=Path, required=True)
    parser.add_argument("--http2-port", type=int, required=True)
    parser.add_argument("--web-port", type=int, required=True)
    arguments = parser.parse_args()
    ports = {"http2_port": arguments.http2_port, "web_port": arguments.web_port}
    asyncio.run(serve(arguments.directory, arguments.keys, **ports))


if __name__ == "__main__":
    main()
