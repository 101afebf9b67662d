"""The answering side of calls, wherever they come from: decode, run the handler in its unit of work, encode.

Calls whose handler takes lists are collected while the last list is being answered, and then share one
transaction; if a list fails, each call of it is answered alone.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any

import msgspec
from prometheus_client import Counter

from shared import metrics
from shared.clock import utc_now
from shared.context import working_on
from shared.database import CommitUnknown, Database, DatabaseUnavailable
from shared.errors import Malformed, NotFound, OutcomeUnknown, Problem, Unavailable
from shared.gathering import Gathering
from shared.logs import log
from shared.registry import Answer, Wiring
from shared.rpc import wire
from shared.transaction import Cause, Reader, Transaction


class Answering:
    """Every call that a service answers."""

    def __init__(
        self,
        answers: tuple[Answer, ...],
        wiring: Wiring,
        database: Database | None,
        *,
        linger_s: float = 0.002,
    ) -> None:
        self._desks = {answer.call.wire_name: _desk(answer, wiring, database, linger_s) for answer in answers}

    @property
    def names(self) -> list[str]:
        """The names of the calls that are answered here."""
        return list(self._desks)

    async def answer(self, request: wire.Request) -> wire.Outcome | None:
        """What came of a request; None if its deadline has passed, for then nobody waits for it."""
        if request.deadline < utc_now():
            _answered(request.call, "expired").inc()
            return None
        with working_on(request.correlationid, request.traceparent):
            try:
                desk = self._desks.get(request.call)
                if desk is None:
                    known = ", ".join(sorted(self._desks))
                    raise NotFound(f"There is no call {request.call!r} here; there are {known}.")
                reply = await desk.answer(request)
            except Problem as problem:
                _answered(request.call, str(problem.status)).inc()
                return wire.Outcome(id=request.id, problem=problem.details())
            except CommitUnknown:
                _answered(request.call, "503").inc()
                problem = OutcomeUnknown(f"The database behind {request.call} went away during the commit.")
                return wire.Outcome(id=request.id, problem=problem.details())
            except DatabaseUnavailable:
                _answered(request.call, "503").inc()
                problem = Unavailable(f"The database behind {request.call} is away.")
                return wire.Outcome(id=request.id, problem=problem.details())
            except Exception as error:  # a defect here must reach the caller as an answer, not as silence
                log.error("call.failed", call=request.call, exc_info=error)
                _answered(request.call, "500").inc()
                problem = Problem("The service met an error that it did not expect.")
                return wire.Outcome(id=request.id, problem=problem.details())
        _answered(request.call, "200").inc()
        return wire.Outcome(id=request.id, data=msgspec.Raw(wire.encode(reply)))

    async def drain(self, seconds: float) -> None:
        """Wait until nothing is being answered any more, at most `seconds`."""
        busy = [task for desk in self._desks.values() for task in desk.busy()]
        if busy:
            await asyncio.wait(busy, timeout=seconds)


class _Desk:
    """Where the calls of one name are answered, one by one."""

    def __init__(self, answer: Answer, run: Callable[..., Awaitable[Any]]) -> None:
        self._decoder = msgspec.json.Decoder(answer.call)
        self._run = run
        self._busy: set[asyncio.Task[Any]] = set()

    def busy(self) -> set[asyncio.Task[Any]]:
        return self._busy

    def decode(self, request: wire.Request) -> Any:
        try:
            return self._decoder.decode(request.data)
        except wire.UNREADABLE as error:
            raise Malformed(f"{request.call}: {error}") from error

    async def answer(self, request: wire.Request) -> Any:
        return await self._run(self.decode(request), causes=[_cause(request)])


class _ListDesk(_Desk):
    """Where calls of one name are answered in lists, one list at a time."""

    def __init__(self, answer: Answer, run: Callable[..., Awaitable[Any]], linger_s: float) -> None:
        super().__init__(answer, run)
        self._waiting: Gathering[tuple[Any, Cause, asyncio.Future[Any]]] = Gathering(answer.batch, linger_s)

    async def answer(self, request: wire.Request) -> Any:
        result: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.put((self.decode(request), _cause(request), result))
        # A worker that has ended stays in the set until the next turn; it takes nothing any more.
        if all(task.done() for task in self._busy):
            worker = asyncio.create_task(self._work(), name=f"answers {request.call}")
            self._busy.add(worker)
            worker.add_done_callback(self._busy.discard)
        return await result

    async def _work(self) -> None:
        # One turn of the loop first: whatever arrived together is to be answered together.
        await asyncio.sleep(0)
        while self._waiting:
            taken = await self._waiting.take()
            calls = [call for call, _, _ in taken]
            try:
                with _working_on([cause for _, cause, _ in taken]):
                    replies = await self._run(calls, causes=[cause for _, cause, _ in taken])
                for (_, _, result), reply in zip(taken, replies, strict=True):
                    _set(result, reply)
            except Exception as error:  # one of them is at fault: alone, each fails only for itself
                if len(taken) == 1:
                    _set(taken[0][2], error)
                    continue
                log.info("call.list_apart", calls=len(taken), error=type(error).__name__)
                for call, cause, result in taken:
                    try:
                        with _working_on([cause]):
                            _set(result, (await self._run([call], causes=[cause]))[0])
                    except Exception as alone:  # handed to the one who asked
                        _set(result, alone)


def _desk(answer: Answer, wiring: Wiring, database: Database | None, linger_s: float) -> _Desk:
    handle = wiring.bind(answer.handler)
    if wiring.wants(answer.handler, Transaction):

        async def run(message: Any, *, causes: list[Cause]) -> Any:
            return await _needed(database).transaction(lambda tx: handle(message, unit=tx), causes=causes)

    elif wiring.wants(answer.handler, Reader):

        async def run(message: Any, *, causes: list[Cause]) -> Any:
            return await _needed(database).read(lambda reader: handle(message, unit=reader))

    else:

        async def run(message: Any, *, causes: list[Cause]) -> Any:
            return await handle(message)

    return _ListDesk(answer, run, linger_s) if answer.batch > 1 else _Desk(answer, run)


def _needed(database: Database | None) -> Database:
    if database is None:
        raise TypeError("this service has handlers that need a database, but it has none")
    return database


def _working_on(causes: list[Cause]) -> AbstractContextManager[None]:
    """What a list is done for: one call's correlation and trace, or none in common.

    Said for every list, since its worker was started by one call and must not do others in that one's name.
    """
    alone = causes[0] if len(causes) == 1 else None
    return working_on(alone.correlation_id if alone else None, alone.traceparent if alone else None)


@lru_cache(256)  # to look a counter up by its labels costs more than to count
def _answered(call: str, status: str) -> Counter:
    return metrics.CALLS_ANSWERED.labels(call, status)


def _cause(request: wire.Request) -> Cause:
    return Cause(request.id, request.correlationid, request.traceparent)


def _set(result: asyncio.Future[Any], reply: Any) -> None:
    if result.done():
        return
    if isinstance(reply, Exception):
        result.set_exception(reply)
    else:
        result.set_result(reply)
