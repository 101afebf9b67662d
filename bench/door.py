"""A keep-alive HTTP/1.1 client that costs next to nothing, so that what is measured is the shop."""

import asyncio
from typing import Any

import msgspec

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class Door:
    """One connection to the shop's door; one request at a time."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self.token: str | None = None
        """Whose request the next one is."""
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Send a request; returns the status and the decoded body. Headers: `prefer="wait=20"`."""
        if self._reader is None or self._writer is None:
            self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
        payload = b"" if body is None else _encode(body)
        lines = [f"{method} {path} HTTP/1.1", f"host: {self._host}", f"content-length: {len(payload)}"]
        if payload:
            lines.append("content-type: application/json")
        if self.token:
            lines.append(f"authorization: Bearer {self.token}")
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self._writer.write("\r\n".join([*lines, "", ""]).encode() + payload)
        head = await self._reader.readuntil(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1])
        length = 0
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        return status, _decode(await self._reader.readexactly(length)) if length else None

    async def must(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """The body of a 2xx answer. Raises `RuntimeError` for any other."""
        status, answer = await self.ask(method, path, body, **headers)
        if status >= 300:
            raise RuntimeError(f"{method} {path}: {status} {answer}")
        return answer

    def close(self) -> None:
        """Close the connection."""
        if self._writer is not None:
            self._writer.close()
