"""`clinic COMMAND …`, also `python -m services.cli COMMAND …`."""

import asyncio
import os
import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence

from services.cli.commands import (
    accounts,
    clinic,
    deliveries,
    demos,
    devices,
    explaining,
    exports,
    importing,
    messages,
    ops,
    watching,
)
from services.cli.failures import Failed
from services.cli.output import tell
from services.cli.parsing import epilog
from services.cli.session import opened

_EXAMPLES = (
    "clinic demo-clinic                       make a clinic to try things with",
    "clinic inbox --as practitioner           look into somebody's inbox",
    'clinic start PROFILE "Hello" --as practitioner',
    "clinic ops status                        see that everything moves",
)
_PLACES = """
The suite is the one that `make run` started here, or the one that these variables name:
  CLINIC_DIRECTORY_TARGET, CLINIC_CONVERSATIONS_TARGET            host:port
  CLINIC_DIRECTORY_INTERNAL_TARGET and the like                                internal ports
  CLINIC_KEYS                      directory of issuer.jwk, ops-dev.jwk, platform-gateway.jwk
  CLINIC_TOKEN_ISSUER, CLINIC_TOKEN_AUDIENCE, CLINIC_MAILBOX
  CLINIC_TLS_CERTIFICATE, CLINIC_TLS_KEY, CLINIC_TLS_AUTHORITY
  CLINIC_ID, CLINIC_TOKEN          instead of --clinic and --token
  LOCAL_STATE                      another directory than .local
"""


def build_parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="clinic",
        description="Secure messaging between the staff of a clinic and its patients.",
        epilog=f"{epilog(_EXAMPLES)}\n{_PLACES}",
        formatter_class=RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    accounts.add(commands)
    messages.add(commands)
    watching.add(commands)
    explaining.add(commands)
    devices.add(commands)
    clinic.add(commands)
    importing.add(commands)
    exports.add(explaining.add_ops(deliveries.add(ops.add(commands))))
    demos.add(commands)
    return parser


async def run(arguments: Namespace) -> int:
    """The exit code: 0 only where the command did what it is for."""
    async with opened() as session:
        told = await arguments.run(session, arguments)
    tell(told, as_json=arguments.json)
    return 0 if told.ok else 1


def main(words: Sequence[str] | None = None) -> int:
    arguments = build_parser().parse_args(words)
    try:
        return asyncio.run(run(arguments))
    except Failed as failed:
        print(f"clinic: {failed}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # Whoever read the output has seen enough; nothing is left to flush at the exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
