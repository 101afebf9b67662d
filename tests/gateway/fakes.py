"""A gateway with invented services behind it: functions answer the calls, tokens are really signed."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import cache
from inspect import isawaitable
from typing import Any, TypeVar, cast

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import OKPAlgorithm
from litestar import Litestar

from gateway.service import service
from gateway.settings import GatewaySettings
from shared.database.idempotency import Once
from shared.errors import Unavailable
from shared.messages import Call, reply_type, service_of
from shared.service.app import create_public_app
from shared.service.describe import Description, Process, registrations
from shared.service.service import Service
from user_svc.contracts import GetKeys, KeySet, PublicKey

R = TypeVar("R")
ISSUER = "sagamart-test"
AUDIENCE = "sagamart-test-shop"


class FakeRpc:
    """Answers calls by the functions it is given; a call nobody answers finds its service away.

    Calls and replies go through JSON and their declared types, as they would on the wire.
    """

    def __init__(self) -> None:
        self.answers: dict[type[Call[Any]], Callable[[Any], Any]] = {}
        self.calls: list[Call[Any]] = []
        self.keys: list[Once | None] = []
        """The idempotency keys of the calls."""
        self.services: list[str] = []
        """The services that the gateway knows of."""

    async def call_each(self, call: Call[R], *, timeout: float | None = None) -> list[R]:  # noqa: ASYNC109
        """One replica of each service has an address."""
        try:
            return [await self.call(call)]
        except Unavailable:
            return []

    async def call(
        self,
        call: Call[R],
        *,
        timeout: float | None = None,  # noqa: ASYNC109  as the real one
        once: Once | None = None,
    ) -> R:
        call = msgspec.json.decode(msgspec.json.encode(call), type=type(call))
        self.calls.append(call)
        self.keys.append(once)
        answer = self.answers.get(type(call))
        if answer is None:
            raise Unavailable(f"{service_of(type(call).wire_name)} is away")
        reply = answer(call)
        if isawaitable(reply):
            reply = await cast(Awaitable[Any], reply)
        return msgspec.json.decode(msgspec.json.encode(reply), type=reply_type(type(call)))


class FakeRuntime:
    """A process without broker and database."""

    def __init__(self, rpc: FakeRpc, settings: GatewaySettings) -> None:
        self.rpc = rpc
        self.settings = settings
        self.closing = asyncio.Event()
        self.passing = None

    async def description(self) -> Description:
        """What the gateway says of itself."""
        return described(service)

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


def described(of: Service, **changes: Any) -> Description:
    """What a service says of itself, all being well."""
    process: dict[str, Any] = {
        "name": f"{of.app_id}#1",
        "replica": 1,
        "version": "1.0.0",
        "started_at": datetime(2026, 1, 31, 12, tzinfo=UTC),
        "ready": True,
        "checks": {"broker": "ok"},
        "memory_bytes": 50_000_000,
    }
    return Description(registrations=registrations(of), process=Process(**(process | changes)))


class Signer:
    """Signs access tokens as the user service does."""

    def __init__(self, key_id: str = "key-1") -> None:
        self.key_id = key_id
        self._private = Ed25519PrivateKey.generate()

    def keys(self) -> KeySet:
        """The public half, as the user service answers it."""
        jwk = OKPAlgorithm.to_jwk(self._private.public_key(), as_dict=True)
        return KeySet(issuer=ISSUER, audience=AUDIENCE, keys=[PublicKey(kid=self.key_id, x=jwk["x"])])

    def token(self, user_id: int = 2, role: str = "customer", *, life: float = 900, **claims: Any) -> str:
        """An access token; `claims` replace its own, and None takes one away."""
        now = time.time()
        payload: dict[str, Any] = {
            "sub": str(user_id),
            "role": role,
            "roles": [role],
            "iss": ISSUER,
            "aud": AUDIENCE,
            "iat": int(now),
            "exp": int(now + life),
        }
        payload = {name: value for name, value in (payload | claims).items() if value is not None}
        return jwt.encode(payload, self._private, algorithm="EdDSA", headers={"kid": self.key_id})

    def bearer(self, user_id: int = 2, role: str = "customer") -> dict[str, str]:
        """The header that a signed-in user sends."""
        return {"Authorization": f"Bearer {self.token(user_id, role)}"}


def gateway(rpc: FakeRpc, signer: Signer, **settings: Any) -> Litestar:
    """The gateway's app as it runs, but for what is behind it, remembering nobody."""
    rpc.answers.setdefault(GetKeys, lambda _: signer.keys())
    app = _app(GatewaySettings(**settings))
    app.state["rpc"] = rpc
    for remembered in ("door", "directory", "management"):
        app.state.pop(remembered, None)
    app.state["runtime"].rpc = rpc
    return app


@cache
def _app(settings: GatewaySettings) -> Litestar:
    """Making one takes long enough for a test to notice, so those with equal settings share it."""
    return create_public_app(service, settings, cast(Any, FakeRuntime(FakeRpc(), settings)))


async def raw_post(
    app: Any, path: str, headers: dict[str, str], pieces: list[dict[str, Any]]
) -> tuple[int, dict[str, Any]]:
    """POST a body that arrives in `pieces` (ASGI messages), as no test client sends it."""
    arriving = iter(pieces)
    sent: list[Any] = []

    async def receive() -> Any:
        return next(arriving)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "state": {},
    }
    await app(scope, receive, send)
    return sent[0]["status"], msgspec.json.decode(sent[1]["body"])
