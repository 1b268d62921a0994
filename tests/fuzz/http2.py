"""A client of HTTP/2 that sends what no library would: one request, header by header.

Just enough of RFC 9113 and RFC 7541: literals without a table out, frames in.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY = 0, 1, 3, 4, 6, 7
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_END_STREAM, _END_HEADERS, _ACK = 0x1, 0x4, 0x1
_STREAM = 1
_MOST_FRAME = 16_384

Header = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back: all bytes of the frames of our stream, and how it ended."""

    received: bytes
    ended: str


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    length = len(payload).to_bytes(3)
    return length + bytes((kind, flags)) + stream.to_bytes(4) + payload


def literal(name: bytes, value: bytes) -> bytes:
    """A header that is in no table, without Huffman's code."""
    return b"\x00" + _string(name) + _string(value)


def _string(text: bytes) -> bytes:
    if len(text) < 127:
        return bytes((len(text),)) + text
    rest, out = len(text) - 127, bytearray((127,))
    while rest >= 128:
        out.append(rest % 128 + 128)
        rest //= 128
    return bytes((*out, rest)) + text


def headers_of(path: str, *more: Header) -> Sequence[Header]:
    """What a gRPC call begins with; `more` replaces what has the same name."""
    usual = {
        b":method": b"POST",
        b":scheme": b"http",
        b":path": path.encode(),
        b":authority": b"localhost",
        b"content-type": b"application/grpc",
        b"te": b"trailers",
    }
    replaced = {name: value for name, value in more if name in usual}
    others = [each for each in more if each[0] not in usual]
    return [*(usual | replaced).items(), *others]


def message(data: bytes, *, flag: int = 0, length: int | None = None) -> bytes:
    """A message in its prefix; the prefix may lie."""
    return bytes((flag,)) + (len(data) if length is None else length).to_bytes(4) + data


async def ask(
    port: int, headers: Sequence[Header], body: bytes, *, end: bool = True, seconds: float = 5
) -> Reply:
    """Open a connection, send one request, and read until its stream is over."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(_PREFACE + frame(SETTINGS, 0, 0))
        block = b"".join(literal(*each) for each in headers)
        writer.write(frame(HEADERS, _END_HEADERS, _STREAM, block[:_MOST_FRAME]))
        chunks = [body[i : i + _MOST_FRAME] for i in range(0, len(body), _MOST_FRAME)] or [b""]
        for place, chunk in enumerate(chunks):
            last = end and place == len(chunks) - 1
            writer.write(frame(DATA, _END_STREAM if last else 0, _STREAM, chunk))
        async with asyncio.timeout(seconds):
            return await _read(reader, writer)
    except TimeoutError:
        return Reply(b"", "silence")
    except ConnectionError:
        return Reply(b"", "closed")
    finally:
        writer.close()


async def _read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Reply:
    received = b""
    while True:
        try:
            head = await reader.readexactly(9)
            payload = await reader.readexactly(int.from_bytes(head[:3]))
        except asyncio.IncompleteReadError:
            return Reply(received, "closed")
        kind, flags, stream = head[3], head[4], int.from_bytes(head[5:9]) & 0x7FFFFFFF
        if kind == SETTINGS and not flags & _ACK:
            writer.write(frame(SETTINGS, _ACK, 0))
        elif kind == PING and not flags & _ACK:
            writer.write(frame(PING, _ACK, 0, payload))
        elif kind == GOAWAY:
            return Reply(received + payload, "goaway")
        elif stream == _STREAM:
            received += payload
            if kind == RST_STREAM:
                return Reply(received, "reset")
            if flags & _END_STREAM:
                return Reply(received, "ended")
