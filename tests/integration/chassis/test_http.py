"""The tiny HTTP server answers what it serves, and refuses the rest without harm."""

import asyncio
import socket

import pytest

from services.chassis.http import HttpServer, Request, Response, as_json
from services.chassis.settings import RefusedToStart


@pytest.fixture
async def server():
    async def echo(request: Request) -> Response:
        return as_json(200, [request.query, request.headers.get("x-a"), request.body.decode()])

    async def broken(request: Request) -> Response:
        raise ValueError("CANARY")

    server = HttpServer(
        "127.0.0.1:0",
        {("GET", "/echo"): echo, ("POST", "/echo"): echo, ("GET", "/broken"): broken},
    )
    await server.start()
    yield server
    await server.stop()


async def ask(server: HttpServer, request: bytes) -> tuple[int, bytes]:
    """Status and body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(request)
    answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


async def test_a_route_gets_query_headers_and_body(server):
    request = b"POST /echo?a=1&b HTTP/1.1\r\nHost: x\r\nX-A:  y \r\nContent-Length: 2\r\n\r\nhi"

    assert await ask(server, request) == (200, b'["a=1&b", "y", "hi"]')


async def test_head_is_get_without_body(server):
    assert await ask(server, b"HEAD /echo HTTP/1.1\r\n\r\n") == (200, b"")


async def test_an_exception_shows_nothing(server):
    assert await ask(server, b"GET /broken HTTP/1.1\r\n\r\n") == (500, b"")


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET /none HTTP/1.1\r\n\r\n", 404),
        (b"DELETE /echo HTTP/1.1\r\n\r\n", 405),
        (b"nonsense\r\n\r\n", 400),
        (b"GET /" + b"x" * 9_000 + b" HTTP/1.1\r\n\r\n", 400),
        (b"POST /echo HTTP/1.1\r\nContent-Length: 99999\r\n\r\n", 413),
        (b"POST /echo HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    ],
)
async def test_what_is_not_served_is_refused(server, request_bytes, status):
    assert (await ask(server, request_bytes))[0] == status


async def test_a_client_that_leaves_in_the_middle_harms_nobody(server):
    for start in (b"", b"GET /ec", b"POST /echo HTTP/1.1\r\nContent-Length: 5\r\n\r\nx"):
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(start)
        writer.close()
        await writer.wait_closed()

    assert (await ask(server, b"GET /echo HTTP/1.1\r\n\r\n"))[0] == 200


async def test_a_slow_client_is_given_up_on(server, monkeypatch):
    monkeypatch.setattr(server, "_seconds", 0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET /ec")

    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()


async def test_an_address_that_is_taken_is_a_sentence():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"

        with pytest.raises(RefusedToStart, match=address):
            await HttpServer(address, {}).start()


@pytest.mark.parametrize("address", ["nowhere", "127.0.0.1:http", "127.0.0.1:99999999"])
async def test_an_address_that_is_none_is_a_sentence(address):
    with pytest.raises(RefusedToStart):
        await HttpServer(address, {}).start()
