"""A service as a program: a Litestar app with health, metrics and calls over HTTP, around its runtime."""

import asyncio
import contextlib
import gc
import math
import os
import socket
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Literal, cast

import msgspec
import prometheus_client
import uvicorn
from litestar import Litestar, Request, Response, get, post
from litestar.datastructures import State
from litestar.params import FromPath

from shared import libraries, logs
from shared.certificates import Shown
from shared.clients import networks
from shared.database.idempotency import Key
from shared.errors import CallerNotAllowed, Malformed, Unavailable
from shared.ids import new_text_id
from shared.logs import log
from shared.masks import keep_secret
from shared.rpc import wire
from shared.service.connections import PEER, Connections, Limits, allow_files, undressed
from shared.service.operators import tell_of_call
from shared.service.runtime import Runtime, can_serve
from shared.service.service import Service
from shared.service.web import exception_handlers, problem_response
from shared.settings import Settings, load

BACKLOG = 2048
BACKGROUND_NICENESS = 10
INNER_NICENESS = 4
"""Of services that the public does not reach: with more to do than the processors can, its door goes first,
and refusals stay fast."""
OWN_CONNECTIONS = 128
BODY_BYTES = 4 * 1024 * 1024
MOST_LEFT_MS = 24 * 60 * 60 * 1000


def create_app(service: Service, settings: Settings, runtime: Runtime | None = None) -> Litestar:
    """What answers on a process's own port: health, metrics and calls, and nothing of the public's.

    Its lifespan starts and stops the runtime.
    """
    runtime = runtime or Runtime(service, settings)

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        await runtime.start()
        _spare_the_collector()
        try:
            yield
        finally:
            await runtime.stop()

    return _app([livez, readyz, metrics, answer_call], runtime, settings, lifespan=[lifespan])


def create_public_app(service: Service, settings: Settings, runtime: Runtime) -> Litestar:
    """What answers on the port that the outside world talks to: the service's routes, and health in short.

    An app of its own, so that no spelling of a path leads from here to calls or metrics.
    """
    app = _app(
        [livez, readyz_in_short, *service.routes],
        runtime,
        settings,
        middleware=list(service.middleware),
        openapi_config=service.openapi,
        **service.app_options,
    )
    if service.dressing is not None:
        app.asgi_handler = service.dressing(settings).around(app.asgi_handler)
    return app


def _app(routes: list[Any], runtime: Runtime, settings: Settings, **options: Any) -> Litestar:
    return Litestar(
        route_handlers=routes,
        exception_handlers=exception_handlers,
        state=State({"runtime": runtime, "rpc": runtime.rpc, "settings": settings}),
        logging_config=None,
        **{"openapi_config": None, "request_max_body_size": BODY_BYTES, **options},
    )


def run(service: Service) -> None:
    """Run a process of `service` until it is told to stop: `python -m <service>_svc`."""
    settings = load(service.settings)
    if service.background:
        _give_way(BACKGROUND_NICENESS)
    elif settings.public_port is None:
        _give_way(INNER_NICENESS)
    logs.configure(f"{service.app_id}#{settings.instance}", settings.log_level, settings.log_format)
    libraries.check()
    keep_secret(*settings.secrets())
    if settings.env == "local":
        log.info("service.local", note="SHOP_ENV=local: known defaults are taken, and databases are seeded")
    runtime = Runtime(service, settings)
    own = _server(
        create_app(service, settings, runtime), service_connections(settings), settings, runtime.own_tls
    )
    server = _Server(own, _listen(settings.bind_host, settings.service_port, shared=False), runtime)
    if settings.public_port is not None:
        app = create_public_app(service, settings, runtime)
        public = _server(app, connections(service, settings), settings, runtime.public_tls, lifespan="off")
        server.open_to_the_public(public, _listen(settings.bind_host, settings.public_port, shared=True))
    with (
        contextlib.suppress(KeyboardInterrupt),
        asyncio.Runner(loop_factory=own.get_loop_factory()) as runner,
    ):
        runner.run(server.serve())


def _server(
    app: Litestar,
    those: Connections,
    settings: Settings,
    tls: Shown | None,
    *,
    lifespan: Literal["on", "off"] = "on",
) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="uvloop",
        http=those.protocol(),
        ws="none",
        lifespan=lifespan,
        log_config=None,
        access_log=settings.access_log,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=math.ceil(settings.http_idle_s),
        timeout_graceful_shutdown=int(settings.shutdown_s),
        backlog=BACKLOG,
        ssl_context_factory=None if tls is None else lambda *_: tls.context,
    )


def connections(service: Service, settings: Settings) -> Connections:
    """The connections of the public port: what they may take, and which requests are refused at once."""
    limits = _limits(settings, allow_files(settings.http_connections))
    proxies = networks(settings.trusted_proxies)
    early = service.dressing(settings).early if service.dressing is not None else undressed
    refuses = service.refuses
    if refuses is None:
        return Connections(limits, proxies=proxies, early=early)
    return Connections(
        limits, lambda method, target: refuses(method, target, settings), proxies=proxies, early=early
    )


def service_connections(settings: Settings) -> Connections:
    """The connections of a process's own port. Beside a public one they have room that no stranger takes."""
    most = allow_files(settings.http_connections)
    return Connections(
        _limits(settings, most if settings.public_port is None else min(most, OWN_CONNECTIONS))
    )


def _limits(settings: Settings, most: int) -> Limits:
    return Limits(
        head_s=settings.http_head_s,
        body_s=settings.http_body_s,
        idle_s=settings.http_idle_s,
        most=most,
        most_of_address=settings.http_connections_of_address,
        counts_loopback=settings.http_counts_loopback,
    )


def _give_way(niceness: int) -> None:
    """Let the others have the processors first."""
    os.nice(niceness)
    # Where Linux schedules each session as one, a process's own niceness says nothing to other sessions. A
    # session that it only shares, such as a terminal's, must not be slowed down with it.
    if os.getsid(0) != os.getpid():
        return
    with contextlib.suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(niceness))


class _Server(uvicorn.Server):
    """Serves a process's own port, and beside it, on the same loop, the public one.

    The public's server comes after the runtime and goes before it. The runtime is told at the beginning of a
    shutdown: answers without an end would hold it up.
    """

    def __init__(self, config: uvicorn.Config, listener: socket.socket, runtime: Runtime) -> None:
        super().__init__(config)
        self._listener = listener
        self._runtime = runtime
        self._public: uvicorn.Server | None = None
        self._public_listener: list[socket.socket] = []

    def open_to_the_public(self, config: uvicorn.Config, listener: socket.socket) -> None:
        """Serve this as well."""
        self._public = uvicorn.Server(config)
        self._public_listener = [listener]

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        await super().serve([self._listener])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._public is not None and not self.should_exit:
            self._public.config.load()
            self._public.lifespan = self._public.config.lifespan_class(self._public.config)
            await self._public.startup(self._public_listener)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._runtime.closing.set()
        if self._public is not None and self._public.started:
            await self._public.shutdown(self._public_listener)
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        if self._public is not None:
            self._public.handle_exit(sig, frame)


def _spare_the_collector() -> None:
    """What has been loaded by now stays for good, so the collector need not walk it again and again.

    Messages are freed by their reference counts; cycles are rare enough to be looked for less often.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)


def _listen(host: str, port: int, *, shared: bool) -> socket.socket:
    """A listening socket; `shared` lets the replicas of a service listen on one port together."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        raise SystemExit(f"port {port} on {host} cannot be used: {error.strerror}") from error
    listener.setblocking(False)
    return listener


@get("/livez", include_in_schema=False)
async def livez() -> dict[str, str]:
    """The process runs and its event loop turns."""
    return {"status": "ok"}


@get("/readyz", include_in_schema=False)
async def readyz(state: State) -> Response[dict[str, Any]]:
    """Whether the process can do something for who asks; its checks name whatever is away."""
    checks = await state.runtime.checks()
    ready = can_serve(checks)
    return Response({"ready": ready, "checks": checks}, status_code=200 if ready else 503)


@get("/readyz", include_in_schema=False)
async def readyz_in_short(state: State) -> Response[dict[str, Any]]:
    """The same for strangers, who need not know what our servers are called."""
    answer = await readyz.fn(state)
    content = cast(dict[str, Any], answer.content)
    content["checks"] = {name: "ok" if said == "ok" else "not ok" for name, said in content["checks"].items()}
    return answer


@get("/metrics", include_in_schema=False, media_type="text/plain", sync_to_thread=False)
def metrics() -> Response[bytes]:
    """What Prometheus scrapes."""
    return Response(prometheus_client.generate_latest(), media_type=prometheus_client.CONTENT_TYPE_LATEST)


@post("/calls/{name:str}", include_in_schema=False, status_code=200)
async def answer_call(name: FromPath[str], request: Request[Any, Any, Any], state: State) -> Response[bytes]:
    """A call over HTTP, from services when the broker is away, and from people who operate the shop."""
    runtime: Runtime = state.runtime
    arrived = time.monotonic()
    reached_at, _ = request.scope.get("server") or ("", None)
    caller = runtime.door.admit(name, request.headers, reached_at)
    _check_certificate(request.scope.get("extensions"), caller.name)
    body = await request.body()
    outcome = await runtime.answering.answer(
        wire.Request(
            id=new_text_id(),
            call=name,
            left_ms=_left_ms(request.headers.get(wire.TIME_LEFT_HEADER), runtime.settings.rpc_timeout_s),
            correlationid=request.headers.get(wire.CORRELATION_HEADER),
            traceparent=request.headers.get(wire.TRACE_HEADER),
            key=_key(request.headers.get(wire.KEY_HEADER)),
            data=msgspec.Raw(body or b"{}"),
        ),
        arrived,
    )
    if caller.is_operator and runtime.answering.is_told(name, of_person=caller.person is not None):
        await tell_of_call(caller, name, body, outcome, runtime.database)
    if outcome is None:
        raise Unavailable("The deadline of this call has passed; nothing was done.")
    if outcome.problem is not None:
        return problem_response(outcome.problem)
    return Response(bytes(outcome.data), media_type="application/json")


def _check_certificate(extensions: Mapping[str, Any] | None, caller: str) -> None:
    """Where the port speaks TLS, a token counts with the certificate of the same name alone.

    A token that somebody has read is then worth nothing. Raises `CallerNotAllowed`.
    """
    peer = (extensions or {}).get(PEER)
    if peer is not None and caller not in peer["names"]:
        raise CallerNotAllowed(f"A call of {caller} needs the certificate of {caller}.")


def _key(header: str | None) -> Key | None:
    try:
        return wire.decode_key(header) if header is not None else None
    except wire.UNREADABLE as error:
        raise Malformed(f"{wire.KEY_HEADER} cannot be read: {error}") from error


def _left_ms(header: str | None, default_s: float) -> int:
    if header is None:
        return round(default_s * 1000)
    if not (header.isascii() and header.isdigit()) or len(header) > 12 or int(header) > MOST_LEFT_MS:
        raise Malformed(
            f"{wire.TIME_LEFT_HEADER} is {header[:40]!r}; write whole milliseconds from 0 to {MOST_LEFT_MS},"
            " such as 3000"
        )
    return int(header)
