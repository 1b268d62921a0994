"""What push services say of a failure, read with care: words of theirs, and nothing of ours."""

import json
import re
from collections.abc import Mapping

# Their codes are words; whatever else stands there could quote what we sent.
_WORD = re.compile(r"\w{1,60}", re.ASCII)


def words_of(body: bytes) -> Mapping[str, object]:
    """The object in a body of JSON; empty where it is none."""
    try:
        said = json.loads(body)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def word(value: object) -> str:
    """A code as it may be logged; empty where it is none."""
    return value if isinstance(value, str) and _WORD.fullmatch(value) else ""
