"""Signing up, killed at every step and in every order of what follows: both accounts are there, or none."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import permutations
from typing import Any, TypeVar, cast

import pytest

from payment_svc.contracts import OpenAccount
from shared.database.transaction import Reader, Transaction
from shared.database.units import Database
from shared.errors import Conflict, Problem, Unavailable
from shared.ids import new_id
from shared.rpc import Rpc
from tests.support.databases import Heard
from user_svc import registration
from user_svc.contracts import Register, UserRegistered, UserRegistrationFailed
from user_svc.settings import UserSettings

T = TypeVar("T")
SETTINGS = UserSettings(argon2_memory_kib=64, argon2_passes=1, registration_retry_s=0.001)
IMPATIENT = UserSettings(argon2_memory_kib=64, registration_retry_s=0.001, registration_patience_s=0.002)
STEPS = 4
"""Look, write down, open the account, let in."""
FATES = ("job gives up", "failure is heard", "late call arrives")


class Killed(BaseException):
    """The process is gone: nothing catches this."""


class Life:
    """One process: it dies at a step, before the step has any effect or right after it."""

    def __init__(self, dies_at: int | None = None, *, after: bool = False) -> None:
        self._left = dies_at
        self._after = after

    async def step(self, act: Callable[[], Awaitable[T]]) -> T:
        if self._left is None:
            return await act()
        self._left -= 1
        if self._left == 0 and not self._after:
            raise Killed
        result = await act()
        if self._left == 0:
            raise Killed
        return result


class MortalDatabase:
    """The database as a process sees it that may die at each unit of work."""

    def __init__(self, db: Database, life: Life) -> None:
        self._db, self._life = db, life

    async def transaction(self, unit: Callable[[Transaction], Awaitable[T]]) -> T:
        return await self._life.step(lambda: self._db.transaction(unit))

    async def read(self, unit: Callable[[Reader], Awaitable[T]]) -> T:
        return await self._life.step(lambda: self._db.read(unit))


class Payment:
    """The payment service by its contract: opening is idempotent, and a closed account never opens."""

    def __init__(self) -> None:
        self.open: set[int] = set()
        self.closed: set[int] = set()
        self.late: list[int] = []

    def ask(self, user_id: int) -> None:
        """Open the account. Raises `Conflict` where the registration has failed."""
        if user_id in self.closed:
            raise Conflict("closed")
        self.open.add(user_id)

    def close(self, user_id: int) -> None:
        """Hear that the registration has failed."""
        self.open.discard(user_id)
        self.closed.add(user_id)


class Line:
    """Calls to payment; one that is `slow` arrives only when it is let through, long after its caller."""

    def __init__(self, payment: Payment, life: Life, *, slow: bool = False, away: bool = False) -> None:
        self._payment, self._life, self._slow, self._away = payment, life, slow, away

    async def call(self, call: Any, *, timeout: float | None = None) -> None:  # noqa: ASYNC109
        assert isinstance(call, OpenAccount)

        async def arrive() -> None:
            if self._away:
                raise Unavailable("away")
            if self._slow:
                self._payment.late.append(call.user_id)
                return
            self._payment.ask(call.user_id)

        await self._life.step(arrive)


async def _live(db: Database, payment: Payment, life: Life, call: Register, *, slow: bool = False) -> None:
    try:
        await registration.register(
            call,
            cast(Database, MortalDatabase(db, life)),
            cast(Rpc, Line(payment, life, slow=slow)),
            SETTINGS,
        )
    except Killed:
        return


def _call() -> Register:
    return Register(
        request_id=new_id(), email="kim@mail.example", name="Kim", address="Seoul", password="correct horse"
    )


async def _job(db: Database, payment: Payment, *, away: bool = False) -> None:
    await asyncio.sleep(0.01)
    line = Line(payment, Life(), away=away)
    await registration.take_up_unfinished(db, cast(Rpc, line), IMPATIENT if away else SETTINGS)


async def _agree(db: Database, heard: Heard, payment: Payment) -> None:
    """The users are those with an account, each told of once; and nobody is half there."""
    rows = await db.read(lambda r: r.rows("SELECT id, state FROM users"))
    assert {state for _, state in rows} <= {"ACTIVE"}
    assert {number for number, _ in rows} == payment.open
    told = [(type(event), cast(Any, event).user_id) for event in heard.events]
    assert len(told) == len(set(told))
    assert {number for kind, number in told if kind is UserRegistered} == payment.open
    assert {number for kind, number in told if kind is UserRegistrationFailed} == payment.closed


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("dies_at", range(1, STEPS + 1))
async def test_whenever_it_is_killed_the_job_finishes_it(
    db: Database, heard: Heard, dies_at: int, after: bool
) -> None:
    payment = Payment()
    await _live(db, payment, Life(dies_at, after=after), _call())
    await _job(db, payment)
    await _agree(db, heard, payment)
    begun = dies_at > 2 or (dies_at == 2 and after)
    assert len(payment.open) == (1 if begun else 0)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("dies_at", range(1, STEPS + 1))
async def test_whenever_it_is_killed_the_same_request_finishes_it(
    db: Database, heard: Heard, dies_at: int, after: bool
) -> None:
    payment, call = Payment(), _call()
    await _live(db, payment, Life(dies_at, after=after), call)
    await _live(db, payment, Life(), call)
    await _agree(db, heard, payment)
    assert len(payment.open) == 1


@pytest.mark.parametrize(
    "order", list(permutations(("job gives up", "failure is heard", "late call arrives")))
)
async def test_a_call_that_outlives_its_caller_opens_nothing_for_nobody(
    db: Database, heard: Heard, order: Sequence[str]
) -> None:
    """The process dies while its call is under way; the job undoes the sign-up in the meantime, or not."""
    payment = Payment()
    await _live(db, payment, Life(3, after=True), _call(), slow=True)

    def hear_failures() -> None:
        for event in heard.of(UserRegistrationFailed):
            payment.close(event.user_id)

    for what in order:
        if what == "job gives up":
            await _job(db, payment, away=True)
        elif what == "failure is heard":
            hear_failures()
        else:
            for user_id in payment.late:
                try:
                    payment.ask(user_id)
                except Problem:
                    assert user_id in payment.closed
    hear_failures()  # an event is delivered in the end, whatever came before
    await _agree(db, heard, payment)
    assert payment.open == set()


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("dies_at", range(1, 4))
async def test_a_job_that_is_killed_leaves_it_to_the_next(
    db: Database, heard: Heard, dies_at: int, after: bool
) -> None:
    payment = Payment()
    await _live(db, payment, Life(2, after=True), _call())
    await asyncio.sleep(0.01)
    life = Life(dies_at, after=after)
    try:
        await registration.take_up_unfinished(
            cast(Database, MortalDatabase(db, life)), cast(Rpc, Line(payment, life)), SETTINGS
        )
    except Killed:
        await _job(db, payment)
    await _agree(db, heard, payment)
    assert len(payment.open) == 1
