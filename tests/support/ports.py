"""Blocks of a hundred ports for shops of the suite's own."""

import socket

LOOKED_AT = (0, 1, 10, 20, 30, 40, 50, 60, 70, 71, 72, 73, 74, 75, 77, 78)
RESERVATION = 99
"""Used by nothing in a shop: whoever listens there has the block, also before anything runs in it."""

_reserved: list[socket.socket] = []


def reserve_base(first: int, last: int) -> int:
    """A port base from `first` to `last` whose block is free, kept from other suites until this process ends.

    Raises `RuntimeError` if there is none.
    """
    for base in range(first, last, 100):
        reservation = _listening(base + RESERVATION)
        if reservation is None:
            continue
        if all(_is_free(base + offset) for offset in LOOKED_AT):
            _reserved.append(reservation)
            return base
        reservation.close()
    raise RuntimeError(f"no free block of ports from {first} to {last}")


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
