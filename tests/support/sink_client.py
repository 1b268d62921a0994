"""A server of a stack that keeps what it is sent and fails as it is told, as tests call it."""

import asyncio
import json
from urllib.request import Request, urlopen


class SinkClient:
    def __init__(self, url: str) -> None:
        self._url = url

    async def heal(self) -> None:
        """No faults any more."""
        await self._call("DELETE", "/faults")

    async def page(self, path: str) -> str:
        return (await self._call("GET", path)).decode()

    async def _call(self, method: str, path: str, body: object = None) -> bytes:
        data = None if body is None else json.dumps(body).encode()
        request = Request(self._url + path, data=data, method=method)

        def send() -> bytes:
            with urlopen(request, timeout=30) as response:
                answer: bytes = response.read()
                return answer

        return await asyncio.to_thread(send)
