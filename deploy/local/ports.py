"""Refuses to start on a port that somebody else uses, and says which one, for what, and who has it."""

import contextlib
import socket
from collections.abc import Mapping

import psutil

from deploy.local.errors import FleetError
from deploy.local.layout import HOST, Layout


def check_free(at: Layout, wanted: Mapping[int, str]) -> None:
    """`wanted` maps ports to what needs them. Raises FleetError naming every one that is taken.

    The gateways share the public port by SO_REUSEPORT: without this check they would start beside a stranger
    without an error, and half of the requests would go to the other.
    """
    taken = {port: purpose for port, purpose in sorted(wanted.items()) if not _is_free(port)}
    if not taken:
        return
    lines = [
        f"port {port}, needed for {purpose}, is in use{_holder(port)}" for port, purpose in taken.items()
    ]
    other = at.base + 1000 if at.base + 1000 <= 64000 else 9000
    lines.append(f"Stop what uses it, or choose another block of ports: SHOP_PORT_BASE={other} ./just up")
    raise FleetError("\n".join(lines))


def _is_free(port: int) -> bool:
    """SO_REUSEADDR lets connections that are only fading away pass, but no listener."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _holder(port: int) -> str:
    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            if (
                connection.status == psutil.CONN_LISTEN
                and connection.laddr[-1:] == (port,)
                and connection.pid
            ):
                return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return ""
