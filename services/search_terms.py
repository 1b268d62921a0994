"""Search by parts of a name, as ranges over an ordinary index (design section 7).

`LIKE`, `@@` and `@>` are not leakproof and lose their index under row-level security, so what may
be typed is stored: each folded word behind a mark, for a prefix of any length, and its suffixes of
three letters or more, for a substring. A search is then `low <= term and term < high`, COLLATE "C".
"""

import re
import unicodedata

SHORTEST_SUBSTRING = 3
_WORD_START = "^"
_LONGEST = 40
_PLAIN = str.maketrans(
    {"ß": "ss", "ø": "o", "æ": "ae", "œ": "oe", "ł": "l", "đ": "d", "\u0131": "i"}
)
_WORD = re.compile(r"[^\W_]+")


def fold(text: str) -> str:
    """Lower case, without accents: what two spellings of one name have in common."""
    # Twice: casefolding makes new sequences to spread, and spreading new letters to casefold.
    for _ in range(2):
        text = unicodedata.normalize("NFKD", text).casefold()
    plain = text.translate(_PLAIN)
    return "".join(char for char in plain if not unicodedata.combining(char))


def words(text: str) -> list[str]:
    """The folded words of a text, letters and digits only, at most 40 characters of each."""
    return [word[:_LONGEST] for word in _WORD.findall(fold(text))]


def terms(text: str) -> frozenset[str]:
    """What is stored of a name, an address or a number so that any part of it is found."""
    found = set()
    for word in words(text):
        found.add(_WORD_START + word)
        found.update(word[i:] for i in range(len(word) - SHORTEST_SUBSTRING + 1))
    return frozenset(found)


def ranges(query: str) -> list[tuple[str, str]]:
    """One half-open range of terms for each word typed; all must hold. Empty: nothing to find."""
    return [_range(word) for word in words(query)]


def _range(word: str) -> tuple[str, str]:
    low = word if len(word) >= SHORTEST_SUBSTRING else _WORD_START + word
    return low, low[:-1] + chr(ord(low[-1]) + 1)
