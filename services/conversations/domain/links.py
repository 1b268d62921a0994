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
    spans = []
    for found in _LINK.finditer(body):
        url = _trimmed(found.group())
        if len(url) > len("https://"):
            spans.append(LinkSpan(found.start(), len(url), url))
    return spans


def _trimmed(url: str) -> str:
    """Without the punctuation that ends the sentence, or a bracket that was opened before it."""
    while url and url[-1] in _TRAILING:
        if url[-1] == ")" and url.count("(") >= url.count(")"):
            break
        url = url[:-1]
    return url
