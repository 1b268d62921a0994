"""Who speaks in which dialogue: never the same two people twice."""

from collections.abc import Iterator


def staff_needed(dialogues: int, patients: int) -> int:
    """How many staff members it takes for each dialogue to have a conversation of its own."""
    return -(-dialogues // patients)


def pairs(dialogues: int, *, patients: int, staff: int) -> Iterator[tuple[int, int]]:
    """Places of staff member and patient for each dialogue; patients are spread first."""
    if staff < staff_needed(dialogues, patients):
        raise ValueError("too few staff members for as many conversations")
    for place in range(dialogues):
        round, patient = divmod(place, patients)
        yield (patient + round) % staff, patient
