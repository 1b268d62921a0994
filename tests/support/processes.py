"""What the kernel says of a process."""

from pathlib import Path


def alive(pid: int) -> bool:
    """Whether it still runs; one that only waits to be reaped by its parent does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] not in ("Z", "X")
