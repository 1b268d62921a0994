"""A mail's bytes, put together from parts: what the library's policies take milliseconds to work
out is worked out once where it can repeat, and not at all where it is plain."""

from base64 import encodebytes
from collections.abc import Iterable
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from functools import lru_cache

# RFC 5322: more than this is no line.
_LONGEST_LINE = 998


@lru_cache(maxsize=1024)
def from_header(name: str, address: str) -> bytes:
    """The sender, whose name may be in any script. Few clinics send many mails."""
    mail = EmailMessage(policy=SMTP)
    mail["From"] = Address(name, addr_spec=address)
    return SMTP.fold_binary("From", mail["From"])


def plain_header(name: str, value: str) -> bytes:
    """One of printable ASCII, on one line: folding would hide a long link from mail readers."""
    if not (value.isascii() and value.isprintable()):
        raise ValueError(f"{name} needs an encoding")
    return f"{name}: {value}\r\n".encode("ascii")


def alternatives(headers: Iterable[bytes], *, plain: str, html: str, boundary: str) -> bytes:
    """A mail that a reader shows as HTML where it can."""
    return b"".join(
        (
            *headers,
            b"MIME-Version: 1.0\r\n",
            f'Content-Type: multipart/alternative; boundary="{boundary}"\r\n\r\n'.encode(),
            _part(boundary, "plain", plain),
            _part(boundary, "html", html),
            f"--{boundary}--\r\n".encode(),
        )
    )


def _part(boundary: str, kind: str, text: str) -> bytes:
    encoding, body = _encoded(text)
    head = (
        f"--{boundary}\r\nContent-Type: text/{kind}; charset=utf-8\r\n"
        f"Content-Transfer-Encoding: {encoding}\r\n\r\n"
    )
    return head.encode() + body + b"\r\n"


def _encoded(text: str) -> tuple[str, bytes]:
    """As it is where any server takes it so, else in base64."""
    lines = text.splitlines()
    if text.isascii() and max(map(len, lines), default=0) <= _LONGEST_LINE:
        return "7bit", "".join(f"{line}\r\n" for line in lines).encode("ascii")
    body = "".join(f"{line}\r\n" for line in lines).encode()
    return "base64", encodebytes(body).replace(b"\n", b"\r\n")
