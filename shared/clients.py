"""Where a request comes from: the address of its client, past the proxies that are ours. Pure.

What proxies write into headers anybody can write. So a header counts only from a peer that is trusted, and
is read from its right end: the last entry was written by that peer, the one before by the one whom that entry
names, and so on for as long as these are trusted, too. The first who is not is the client.
"""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from msgspec import Struct

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
MOST_HOPS = 32
"""More entries than this say nothing about a client, but take time to read."""
_HOST_OF_ONE = 64
"""Bits of an IPv6 address that say whose it is; of the others, its owner has as many as he likes."""
_PORT = re.compile(r":[0-9]{1,5}")
_PAIR = re.compile(r'\s*([!#$%&\'*+.^_`|~0-9A-Za-z-]+)=("(?:[^"\\]|\\.)*"|[^\s",;]*)\s*')


class Client(Struct, frozen=True):
    """Who asks: an address (as text; empty where there is none), and whether over HTTPS."""

    address: str
    is_https: bool


@lru_cache(8)
def networks(text: str) -> tuple[Network, ...]:
    """Addresses and networks, between spaces or commas: `10.0.0.0/8, 2001:db8::1`. Raises `ValueError`."""
    found: list[Network] = []
    for word in text.replace(",", " ").split():
        try:
            found.append(ip_network(word))
        except ValueError as error:
            raise ValueError(
                f"Expected addresses and networks, such as 10.0.0.7 192.168.0.0/16 2001:db8::/32: {error}"
            ) from None
    return tuple(found)


@lru_cache(1024)
def is_within(text: str, trusted: tuple[Network, ...]) -> bool:
    """Whether an address is one of these, or in one of these networks."""
    address = _plain(text)
    return address is not None and any(
        address.version == network.version and address in network for network in trusted
    )


def client_of(
    peer: str, is_https: bool, headers: Iterable[tuple[bytes, bytes]], trusted: tuple[Network, ...]
) -> Client:
    """The client of a request that came from `peer`, with its headers' names in lower case.

    Where a proxy hides whom it had before it, or two headers name different clients, it is the proxy's own
    address that counts: nobody can choose one by what he sends.
    """
    if not trusted or not is_within(peer, trusted):
        return Client(peer, is_https)
    given: dict[bytes, list[str]] = {}
    for name, value in headers:
        if name in (b"x-forwarded-for", b"forwarded", b"x-forwarded-proto"):
            given.setdefault(name, []).append(value.decode("latin-1"))
    listed = [word.strip() for word in ",".join(given.get(b"x-forwarded-for", [])).split(",")]
    elements = _elements(",".join(given.get(b"forwarded", [])))
    by_list = _past_the_proxies(peer, [word for word in listed if word], trusted)
    by_elements = _past_the_proxies(peer, [one.get("for", "") for one in elements], trusted)
    if b"x-forwarded-for" in given and b"forwarded" in given and by_list != by_elements:
        address = peer
    else:
        address = by_list if b"x-forwarded-for" in given else by_elements
    protocols = [word.strip() for word in ",".join(given.get(b"x-forwarded-proto", [])).split(",")]
    said = protocols[-1] or (elements[-1].get("proto", "") if elements else "")
    return Client(address, said.lower() == "https" if said else is_https)


def owner_of(address: str) -> str:
    """What stands for all addresses of one owner: an IPv4 address, or the /64 of an IPv6 one.

    A text that is no address stands for itself.
    """
    plain = _plain(address)
    if plain is None:
        return address
    return str(plain) if plain.version == 4 else str(ip_network((plain, _HOST_OF_ONE), strict=False))


def _past_the_proxies(peer: str, hops: list[str], trusted: tuple[Network, ...]) -> str:
    found = peer
    for hop in reversed(hops[-MOST_HOPS:]):
        address = _plain(_without_port(hop))
        if address is None:  # `unknown`, a name that hides one, or no address at all
            return found
        found = str(address)
        if not is_within(found, trusted):
            return found
    return found


def _without_port(hop: str) -> str:
    hop = hop.strip('"')
    if hop.startswith("["):
        inside, end, rest = hop[1:].partition("]")
        return inside if end and (not rest or _PORT.fullmatch(rest)) else ""
    if hop.count(":") == 1:
        host, port = hop.split(":")
        return host if _PORT.fullmatch(f":{port}") else ""
    return hop


def _plain(text: str) -> Address | None:
    """An address, one of IPv4 also where it is written as one of IPv6; None for what is none."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return address if isinstance(address, IPv4Address) else address.ipv4_mapped or address


def _elements(text: str) -> list[dict[str, str]]:
    """The elements of `Forwarded` headers (RFC 7239), each as its pairs; one that cannot be read has none."""
    elements: list[dict[str, str]] = []
    for element in _split(text):
        pairs: dict[str, str] = {}
        for part in _split(element, ";"):
            match = _PAIR.fullmatch(part)
            if match is None or match[1].lower() in pairs:
                pairs = {}
                break
            pairs[match[1].lower()] = re.sub(r"\\(.)", r"\1", match[2].strip('"'))
        if element.strip():
            elements.append(pairs)
    return elements


def _split(text: str, at: str = ",") -> Iterator[str]:
    """The parts of a text between separators that do not stand in quotes."""
    part, is_quoted, is_escaped = "", False, False
    for letter in text:
        if letter == at and not is_quoted:
            yield part
            part = ""
            continue
        if letter == '"' and not is_escaped:
            is_quoted = not is_quoted
        is_escaped = letter == "\\" and is_quoted and not is_escaped
        part += letter
    yield part
