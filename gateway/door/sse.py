"""News as they happen, over HTTP: server-sent events with ids, so that a client goes on where it was cut off.

What is sent is read from the service that keeps it, after the last id that the client has seen; what wakes
us only makes us read. So nothing is missed, whichever gateway process a client comes back to.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from typing import Any, NamedTuple

import msgspec
from litestar import Request
from litestar.openapi import ResponseSpec
from litestar.response import ServerSentEventMessage, Stream

from gateway.door.guards import door_of
from gateway.door.requests import User
from gateway.door.streams import open_streams
from gateway.door.waiting import Watch
from gateway.settings import GatewaySettings
from shared.errors import FieldError, Malformed, Unavailable

HEARTBEAT_S = 15.0
"""A silent connection looks dead to what lies between; a comment now and then keeps it."""
LONGEST_S = 900.0
"""As long as an access token lives: whoever wants more comes again, with one that still counts."""
LOOK_AGAIN_S = 5.0
"""How often news are asked for without being told of, as while the broker is away."""
COME_BACK_MS = 1000
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class News(NamedTuple):
    """One thing to tell: its id, which orders it among the others, its kind, and what is sent as JSON."""

    id: str
    event: str
    data: Any


def event_stream(
    request: Request[Any, Any, Any],
    news: AsyncGenerator[News, None],
    *,
    whose: str,
    since: str | None = None,
    heartbeat_s: float = HEARTBEAT_S,
    longest_s: float = LONGEST_S,
) -> Stream:
    """An answer that sends `news` as they come.

    Raises `TooMany` if the one `whose` it is has as many streams as one may have, `Overloaded` if all
    together have as many as there may be. `since` is the id that they come after: a client that is cut off
    before the first one knows where it was. It ends when they end, when the client goes, when this process
    shuts down, and after `longest_s` seconds; and with the token that let it in.
    """
    closing: asyncio.Event = request.app.state["runtime"].closing
    settings: GatewaySettings = request.app.state["settings"]
    open_streams.refuse_too_many(whose, settings.streams_of_user, settings.streams)
    return Stream(
        _frames(whose, news, since, closing, heartbeat_s, longest_s, _let_in(request)),
        media_type="text/event-stream",
        headers=HEADERS,
    )


def came_to(request: Request[Any, Any, Any], header: str | None, *, longest: int) -> str | None:
    """The last id that a client has seen: by its header, else by the address of a stream opened anew.

    Raises `Malformed` for one that cannot be, of more than `longest` digits for instance.
    """
    said = header or request.query_params.get("last_event_id")
    if said and not (said.isascii() and said.isdigit() and len(said) <= longest):
        error = FieldError("last_event_id", f"Expected a number of at most {longest} digits")
        raise Malformed("A query parameter cannot be read.", errors=[error])
    return said or None


async def follow(
    read: Callable[[str | None], Awaitable[Sequence[News]]],
    watching: AbstractContextManager[Watch[Any]],
    after: str | None,
    *,
    look_again_s: float = LOOK_AGAIN_S,
) -> AsyncGenerator[News, None]:
    """The news that `read` finds after an id, again and again: when the watch is told, and now and then.

    `read` gives them in order, the oldest first, some at a time; nothing when there are none.
    """
    with watching as woken:
        while True:
            woken.clear()
            found: Sequence[News] = ()
            with suppress(Unavailable):  # the stream outlives a restart of the service behind it
                found = await read(after)
            for one in found:
                yield one
                after = one.id
            if not found:
                await woken.within(look_again_s)


def stream_answer(description: str) -> dict[int, ResponseSpec]:
    """The good answer of a route that streams, for its description."""
    spec = ResponseSpec(str, generate_examples=False, description=description, media_type="text/event-stream")
    return {200: spec}


async def _frames(
    whose: str,
    news: AsyncGenerator[News, None],
    since: str | None,
    closing: asyncio.Event,
    heartbeat_s: float,
    longest_s: float,
    let_in: Callable[[], bool],
) -> AsyncIterator[bytes]:
    clock = asyncio.get_running_loop().time
    end = clock() + longest_s
    over = asyncio.ensure_future(closing.wait())
    coming = asyncio.ensure_future(anext(news, None))
    counted = ExitStack()
    counted.enter_context(open_streams.one_more(whose))
    try:
        # A frame without data is no event, but its id counts as the last one seen.
        place = f"id: {since}\n" if since is not None else ""
        yield f"{place}retry: {COME_BACK_MS}\n\n".encode()
        while (left := end - clock()) > 0:
            await asyncio.wait(
                (coming, over), timeout=min(heartbeat_s, left), return_when=asyncio.FIRST_COMPLETED
            )
            if over.done() or not let_in():
                return
            if not coming.done():
                yield b": still here\n\n"
            elif (one := coming.result()) is None:
                return
            else:
                yield _frame(one)
                coming = asyncio.ensure_future(anext(news, None))
    finally:
        counted.close()
        over.cancel()
        coming.cancel()
        await asyncio.gather(over, coming, return_exceptions=True)
        await news.aclose()


def _let_in(request: Request[Any, Any, Any]) -> Callable[[], bool]:
    """Says whether the token that the request came with still counts; true where it needed none."""
    user: User | None = request.scope.get("user")
    if user is None:
        return lambda: True
    tokens = door_of(request.app).tokens
    return lambda: tokens.counts(user)


def _frame(news: News) -> bytes:
    data = msgspec.json.encode(news.data).decode()
    return ServerSentEventMessage(id=news.id, event=news.event, data=data, sep="\n").encode()
