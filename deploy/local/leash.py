"""Becomes another program that dies with the process that started it.

    python -I -S leash.py <signal> <parent pid> <account or -> <command> ...

A supervisor that is killed cannot stop its parts, so the kernel does: it sends <signal> when the
parent is gone. This is a program of its own and not a function run between fork and exec, because
the parents are full of threads (gRPC, asyncio) and Python code may not run after such a fork.
"""

import ctypes
import os
import pwd
import sys

PR_SET_PDEATHSIG = 1


def take_identity(account: str) -> None:
    entry = pwd.getpwnam(account)
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)


def main(signal: str, parent: str, account: str, *command: str) -> None:
    if account != "-":
        take_identity(account)
    # After the change of identity, which would clear it.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal))
    if os.getppid() != int(parent):
        sys.exit("the process that started this one is gone")
    os.execv(command[0], command)


if __name__ == "__main__":
    main(*sys.argv[1:])
