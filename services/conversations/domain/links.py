"""Links in plain text, for clients to render; nothing is fetched (R39)."""

import re
from dataclasses import dataclass

# What follows http(s):// up to white space, quotes or brackets; closing punctuation is not part.
_LINK = re.compile(r"\bhttps?://[^\s<>\"'`{}|\\^\[\]\x00-\x20\x7f]+", re.IGNORECASE)
_TRAILING = ".,;:!?)…"


@dataclass(frozen=True, slots=True)
class LinkSpan:
    """Where a link stands in the body, in Unicode code points."""

    offset: int
    length: int
    url: str


def links_in(body: str) -> list[LinkSpan]:
    """The http and https links of a body, in order."""
    spans: list[LinkSpan] = []
    if "://" not in body:
        return spans
    for found in _LINK.finditer(body):
        url = _trimmed(found.group())
        if len(url) > len("https://"):
            spans.append(LinkSpan(found.start(), len(url), url))
    return spans


def _trimmed(url: str) -> str:
    """Without the punctuation that ends the sentence, or a bracket that was opened before it.

    In one pass: a body of nothing but punctuation must cost no more than another.
    """
    end, unopened = len(url), url.count(")") - url.count("(")
    while end and url[end - 1] in _TRAILING:
        if url[end - 1] == ")":
            if unopened <= 0:
                break
            unopened -= 1
        end -= 1
    return url[:end]
