"""`python -m deploy.local.mailbox --smtp-port 8026 --web-port 8025 --directory .local/mailbox`"""

import argparse
import asyncio
import signal
from pathlib import Path

from deploy.local.mailbox.faults import Faults
from deploy.local.mailbox.smtp import Door, protocol
from deploy.local.mailbox.store import Mailbox
from deploy.local.mailbox.web import Web
from deploy.local.ports import HOST


async def serve(directory: Path, *, smtp_port: int, web_port: int) -> None:
    loop = asyncio.get_running_loop()
    mailbox, faults = Mailbox(directory), Faults()
    door = Door(mailbox, faults)
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    smtp = await loop.create_server(lambda: protocol(door), HOST, smtp_port)
    web = await asyncio.start_server(Web(mailbox, faults).serve, HOST, web_port)
    await ended.wait()
    smtp.close()
    web.close()


def main() -> None:
    parser = argparse.ArgumentParser(description="Takes every mail and shows it.")
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--smtp-port", type=int, required=True)
    parser.add_argument("--web-port", type=int, required=True)
    arguments = parser.parse_args()
    ports = {"smtp_port": arguments.smtp_port, "web_port": arguments.web_port}
    asyncio.run(serve(arguments.directory, **ports))


if __name__ == "__main__":
    main()
