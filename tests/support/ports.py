"""Ports for the suite: blocks of a hundred for shops of its own, and single ones.

All lie below 32768, where Linux begins to hand out ports to outgoing connections: one of those would now and
then have the port of a server that is about to start.
"""

import socket
from collections.abc import Iterator
from functools import cache
from itertools import cycle

FIRST, LAST = 20000, 32000
LOOKED_AT = (0, 1, 10, 20, 30, 40, 50, 60, 70, 71, 72, 73, 74, 75, 77, 78)
RESERVATION = 99
"""Used by nothing in a shop: whoever listens there has the block, also before anything runs in it."""

_reserved: list[socket.socket] = []


def reserve_base() -> int:
    """A port base whose block is free, kept from every other process that asks until this one ends.

    Raises `RuntimeError` if there is none.
    """
    for base in range(FIRST, LAST, 100):
        reservation = _listening(base + RESERVATION)
        if reservation is None:
            continue
        if all(_is_free(base + offset) for offset in LOOKED_AT):
            _reserved.append(reservation)
            return base
        reservation.close()
    raise RuntimeError(f"no free block of ports from {FIRST} to {LAST}")


def free_port() -> int:
    """A port that nobody listens on at this moment, and that no other process of the suite is given."""
    return next(port for port in _own_ports() if _is_free(port))


@cache
def _own_ports() -> Iterator[int]:
    """The ports of a block of this process's own, in turn: what was just left is not used again at once."""
    base = reserve_base()
    return cycle(range(base, base + RESERVATION))


def _is_free(port: int) -> bool:
    probe = _listening(port, reuse=True)
    if probe is not None:
        probe.close()
    return probe is not None


def _listening(port: int, *, reuse: bool = False) -> socket.socket | None:
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(reuse))
    try:
        one.bind(("127.0.0.1", port))
        one.listen()
    except OSError:
        one.close()
        return None
    return one
