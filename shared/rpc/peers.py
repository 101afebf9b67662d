"""Where services answer over HTTP: settings, and the addresses behind their names.

A name of several addresses is several processes: each of them can be tried, and asked.
"""

import asyncio
import re
import socket
import time
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import urlsplit

_WORD = re.compile(r"(?P<service>[a-z][a-z0-9_]*)=(?P<bases>\S+)")
_BASE = re.compile(
    r"(?P<base>https?://(?:[^\s:/,\[\]]+|\[[0-9a-fA-F:.]+\])):(?P<first>\d+)(?:-(?P<last>\d+))?"
)
KNOWN_SECONDS = 5.0
"""For so long an answer about a name counts."""


class Address(NamedTuple):
    """One address of a peer: the URL to send to, and the `host` that it is asked as."""

    url: str
    host: str


def parse_peers(text: str) -> dict[str, list[str]]:
    """`item=http://127.0.0.1:8020-8028 order=http://a:8000,http://b:8000` as URLs by service.

    A service may stand there several times. Raises `ValueError`.
    """
    peers: dict[str, list[str]] = {}
    for word in text.split():
        found = _WORD.fullmatch(word)
        bases = [_BASE.fullmatch(base) for base in found["bases"].split(",")] if found else [None]
        for base in bases:
            if found is None or base is None or not _are_ports(base["first"], base["last"]):
                raise ValueError(
                    f"{word!r} is no peer; write item=http://host:8020-8028 or item=http://a:8000,http://b:8000"
                )
            first = int(base["first"])
            last = int(base["last"] or first)
            urls = peers.setdefault(found["service"], [])
            urls += [url for port in range(first, last + 1) if (url := f"{base['base']}:{port}") not in urls]
    return peers


def _are_ports(first: str, last: str | None) -> bool:
    return 1 <= int(first) <= int(last or first) <= 65535


class Names:
    """Looks names up, and remembers for a moment what was found."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, list[Address]]] = {}

    async def addresses(self, urls: Iterable[str]) -> list[Address]:
        """Every address behind these URLs, in their order; a name that leads nowhere has none."""
        return [address for url in urls for address in await self._behind(url)]

    async def _behind(self, url: str) -> list[Address]:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        if ":" in host or host.replace(".", "").isdigit():
            return [Address(url, parts.netloc)]
        found = self._known.get(url)
        if found is None or found[0] < time.monotonic():
            found = (
                time.monotonic() + KNOWN_SECONDS,
                [
                    Address(f"{parts.scheme}://{f'[{ip}]' if ':' in ip else ip}:{port}", parts.netloc)
                    for ip in await _look_up(host)
                ],
            )
            self._known[url] = found
        return found[1]


async def _look_up(host: str) -> list[str]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return []
    return list(dict.fromkeys(str(address[0]) for *_, address in found))
