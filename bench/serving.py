"""An HTTP app that is measured beside the shop, served as the shop serves its own."""

import gc
import socket
from typing import Any

import uvicorn

from bench.program import READY


def ready() -> None:
    """Say that this process can be measured; what it has loaded by now the collector need not walk again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)
    print(READY, flush=True)


def serve(app: Any, port: int) -> None:
    """Serve an ASGI app until told to stop, with the same server, parser and loop as the gateway."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(2048)
    listener.setblocking(False)
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=75,
        backlog=2048,
    )
    _Server(config).run(sockets=[listener])


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            ready()
