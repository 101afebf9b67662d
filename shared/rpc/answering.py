"""The answering side of calls, wherever they come from: decode, run the handler in its unit of work, encode.

Calls whose handler takes lists are collected while the last list is being answered, and then share one
transaction; if a list fails, each call of it is answered alone, unless the database is away: that is the
fault of none of them, and would take as long again for each. A call with an idempotency key is done once: see
`shared/database/idempotency.py`. One that nobody waits for any more is not begun: see `shared/deadline.py`.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, suppress
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
from prometheus_client import Counter

from shared import metrics
from shared.batching import Batching
from shared.context import working_on
from shared.database.failures import CommitUnknown, DatabaseUnavailable, TooSlow
from shared.database.idempotency import Again, AnsweredBefore, Idempotency, Key, do_once
from shared.database.locks import LIST_LOCK_WAIT_SECONDS
from shared.database.transaction import Cause, Reader, Transaction
from shared.database.units import Database
from shared.deadline import Passed, Until, look
from shared.errors import Malformed, NotFound, OutcomeUnknown, Overloaded, Problem, Unavailable
from shared.logs import log
from shared.registry import Answer, Wiring
from shared.rpc import wire
from shared.rpc.admission import Admission

UNKNOWN = "unknown"
"""What counts for every name that is no call here: labels must not grow with what strangers send."""
LEFT_MS = 3000
"""How long a caller waits who does not say."""


class Answering:
    """Every call that a service answers."""

    def __init__(
        self,
        answers: tuple[Answer, ...],
        wiring: Wiring,
        database: Database | None,
        *,
        linger_s: float = 0.002,
        lease_s: float = 60.0,
    ) -> None:
        self._desks: dict[str, _Desk] = {}
        for answer in answers:
            run = _run(answer, wiring, database, lease_s)
            desk = _ListDesk(answer, run, linger_s) if answer.batch > 1 else _Desk(answer, run)
            self._desks[answer.call.wire_name] = desk
        self._reading = {one.call.wire_name for one in answers if wiring.wants(one.handler, Reader)}
        self._admission = Admission({one.call.wire_name: (one.rank, one.most) for one in answers})

    @property
    def names(self) -> list[str]:
        """The names of the calls that are answered here."""
        return list(self._desks)

    def is_told(self, call: str, *, of_person: bool) -> bool:
        """Whether an operator's call is audited: all that people make, of programs what may change things."""
        return call in self._desks and (of_person or call not in self._reading)

    async def answer(self, request: wire.Request, arrived: float | None = None) -> wire.Outcome | None:
        """What came of a request; None if nothing was done, for nobody waits for it any more.

        It `arrived` just now, or at that time of `time.monotonic`. Where there is no room for it, it is
        refused, and was not begun.
        """
        try:
            self._admission.enter(request.call)
        except Overloaded as refusal:
            _answered(request.call, "refused").inc()
            return wire.Outcome(id=request.id, problem=refusal.details())
        began = time.monotonic()
        try:
            return await self._answer(request, began if arrived is None else arrived)
        finally:
            now = time.monotonic()
            self._admission.leave(request.call, now - began, now)

    async def _answer(self, request: wire.Request, arrived: float) -> wire.Outcome | None:
        ends = arrived + (LEFT_MS if request.left_ms is None else request.left_ms) / 1000
        known = request.call if request.call in self._desks else UNKNOWN
        with working_on(request.correlationid, request.traceparent):
            try:
                desk = self._desks.get(request.call)
                if desk is None:
                    names = ", ".join(sorted(self._desks))
                    raise NotFound(f"There is no call {request.call[:100]!r} here; there are {names}.")
                reply = await desk.answer(request, ends)
                if isinstance(reply, Again):
                    reply = await self._first_answer(desk, request, ends, reply)
            except Passed:
                _answered(known, "expired").inc()
                return None
            except Problem as problem:
                _answered(known, str(problem.status)).inc()
                return wire.Outcome(id=request.id, problem=problem.details())
            except CommitUnknown:
                _answered(known, "503").inc()
                problem = OutcomeUnknown(f"The database behind {request.call} went away during the commit.")
                return wire.Outcome(id=request.id, problem=problem.details())
            except TooSlow:
                _answered(known, "503").inc()
                problem = Unavailable(f"{request.call} took too long, and was undone.")
                return wire.Outcome(id=request.id, problem=problem.details())
            except DatabaseUnavailable:
                _answered(known, "503").inc()
                problem = Unavailable(f"The database behind {request.call} is unavailable.")
                return wire.Outcome(id=request.id, problem=problem.details())
            except Exception as error:  # a defect here must reach the caller as an answer, not as silence
                log.error("call.failed", call=request.call, exc_info=error)
                _answered(known, "500").inc()
                problem = Problem("The service met an error that it did not expect.")
                return wire.Outcome(id=request.id, problem=problem.details())
        _answered(known, "200").inc()
        return wire.Outcome(id=request.id, data=msgspec.Raw(wire.encode(reply)))

    async def _first_answer(self, desk: "_Desk", request: wire.Request, ends: float, again: Again) -> Any:
        """What a call was answered when it was done, or what the call that was kept instead answers now."""
        kept = msgspec.Raw(again.answer.encode())
        if desk.asks_again is None:
            return kept
        asking = msgspec.structs.replace(request, call=desk.asks_again.wire_name, data=kept, key=None)
        return await self._desks[asking.call].answer(asking, ends)

    async def drain(self, seconds: float) -> None:
        """Wait until nothing is being answered any more, at most `seconds`."""
        busy = [task for desk in self._desks.values() for task in desk.busy()]
        if busy:
            await asyncio.wait(busy, timeout=seconds)


class _Asked(NamedTuple):
    """A call that is to be answered."""

    message: Any
    cause: Cause
    key: Key | None


_Run = Callable[[Sequence[_Asked]], Awaitable[Sequence[Any]]]
"""Answers calls in one unit of work; each reply may be a `Problem`, or `Again` for a call done before."""


class _Desk:
    """Where the calls of one name are answered, one by one."""

    def __init__(self, answer: Answer, run: _Run) -> None:
        self.asks_again = answer.asks_again
        self._decoder = msgspec.json.Decoder(answer.call)
        self._run = run
        self._busy: set[asyncio.Task[Any]] = set()

    def busy(self) -> set[asyncio.Task[Any]]:
        return self._busy

    def read(self, request: wire.Request) -> _Asked:
        try:
            message = self._decoder.decode(request.data)
        except wire.UNREADABLE as error:
            raise Malformed(f"{request.call}: {error}") from error
        return _Asked(message, Cause(request.id, request.correlationid, request.traceparent), request.key)

    async def answer(self, request: wire.Request, ends: float) -> Any:
        """The reply. Raises `Passed` if it could not be begun before `ends`."""
        asked = self.read(request)
        with Until(ends):
            look()
            [reply] = await self._run([asked])
        if isinstance(reply, Problem):
            raise reply
        return reply


class _Turn(NamedTuple):
    """A call that waits for its turn at a desk, until it `ends`."""

    asked: _Asked
    ends: float
    result: asyncio.Future[Any]


class _ListDesk(_Desk):
    """Where calls of one name are answered in lists, one list at a time."""

    def __init__(self, answer: Answer, run: _Run, linger_s: float) -> None:
        super().__init__(answer, run)
        self._waiting: Batching[_Turn] = Batching(answer.batch, linger_s)

    async def answer(self, request: wire.Request, ends: float) -> Any:
        result: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.put(_Turn(self.read(request), ends, result))
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
            now = time.monotonic()
            timely = [turn for turn in taken if turn.ends > now]
            for turn in taken:
                if turn.ends <= now:
                    _set(turn.result, Passed())
            if timely:
                await self._answer_list(timely)

    async def _answer_list(self, turns: Sequence[_Turn]) -> None:
        """Answer calls together, for as long as one of those who asked still waits."""
        asked = [turn.asked for turn in turns]
        try:
            with _working_on(asked), Until(max(turn.ends for turn in turns)):
                replies = await self._run(asked)
            for turn, reply in zip(turns, replies, strict=True):
                _set(turn.result, reply)
        except Exception as error:  # one of them is at fault: alone, each fails only for itself
            if len(turns) == 1 or isinstance(error, DatabaseUnavailable | Passed):
                for turn in turns:
                    _set(turn.result, error)
                return
            log.info("call.list_apart", calls=len(turns), error=type(error).__name__)
            for turn in turns:
                await self._answer_list([turn])


def _run(answer: Answer, wiring: Wiring, database: Database | None, lease_s: float) -> _Run:
    """How the calls of one name are answered: those with a key once, the others as they come."""
    name = answer.call.wire_name
    handle = wiring.bind(answer.handler)
    in_transaction = wiring.wants(answer.handler, Transaction)
    in_unit = wiring.wants_unit(answer.handler)
    wants_key = wiring.wants(answer.handler, Idempotency)

    async def replies(asked: Sequence[_Asked], **given: Any) -> Sequence[Any]:
        if answer.batch > 1:
            return await handle([one.message for one in asked], **given)
        return [await handle(one.message, **given) for one in asked]

    def kept(reply: Any) -> str:
        return wire.encode(reply if answer.again is None else answer.again(reply)).decode()

    async def plainly(asked: Sequence[_Asked]) -> Sequence[Any]:
        if in_transaction:
            return await _needed(database).transaction(
                lambda tx: replies(asked, unit=tx),
                causes=[one.cause for one in asked],
                lock_wait_s=_lock_wait_s(asked),
            )
        if in_unit:
            return await _needed(database).read(lambda reader: replies(asked, unit=reader))
        return await replies(asked)

    async def once_in_a_unit(asked: Sequence[_Asked]) -> Sequence[Any]:
        async def unit(tx: Transaction) -> list[Any]:
            keys = [one.key for one in asked]
            return await do_once(
                tx, name, keys, lambda places: replies([asked[place] for place in places], unit=tx), kept
            )

        return await _needed(database).transaction(
            unit, causes=[one.cause for one in asked], lock_wait_s=_lock_wait_s(asked)
        )

    async def once_in_units(one: _Asked) -> Any:
        if one.key is None:
            return (await replies([one], idempotency=Idempotency.without_key()))[0]
        idempotency = Idempotency(name, one.key, kept, lease_s)
        db = _needed(database)
        if (again := await db.read(idempotency.look)) is not None:
            return again
        try:
            if not wants_key:
                await db.transaction(idempotency.begin)
            [reply] = await replies([one], idempotency=idempotency)
            if not idempotency.is_kept:
                await db.transaction(lambda tx: idempotency.keep(tx, reply))
        except AnsweredBefore as before:
            return before.again
        except Exception as error:  # whatever the handler met, the key is free for another try; raised again
            refused = isinstance(error, Problem) and not isinstance(error, Unavailable)
            with suppress(DatabaseUnavailable):  # then its time runs out by itself
                await db.transaction(idempotency.give_up if refused else idempotency.leave)
            raise
        return reply

    async def run(asked: Sequence[_Asked]) -> Sequence[Any]:
        if not wants_key and not any(one.key for one in asked):
            return await plainly(asked)
        if in_unit:
            return await once_in_a_unit(asked)
        return [await once_in_units(one) for one in asked]

    return run


def _lock_wait_s(asked: Sequence[_Asked]) -> int | None:
    """A list waits but shortly: each of its calls is then answered alone, and waits only for itself."""
    return LIST_LOCK_WAIT_SECONDS if len(asked) > 1 else None


def _needed(database: Database | None) -> Database:
    if database is None:
        raise TypeError("this service has handlers that need a database, but it has none")
    return database


def _working_on(asked: Sequence[_Asked]) -> AbstractContextManager[None]:
    """What a list is done for: one call's correlation and trace, or none in common.

    Said for every list, since its worker was started by one call and must not do others in that one's name.
    """
    alone = asked[0].cause if len(asked) == 1 else None
    return working_on(alone.correlation_id if alone else None, alone.traceparent if alone else None)


@lru_cache(256)  # to look a counter up by its labels costs more than to count
def _answered(call: str, status: str) -> Counter:
    return metrics.CALLS_ANSWERED.labels(call, status)


def _set(result: asyncio.Future[Any], reply: Any) -> None:
    if result.done():
        return
    if isinstance(reply, Exception):
        result.set_exception(reply)
    else:
        result.set_result(reply)
