"""Signing up: user and point account come to be together or not at all."""

import asyncio
import importlib
from collections import deque
from typing import Any, cast
from uuid import UUID

import pytest

from payment_svc.contracts import OpenAccount
from shared.database.transaction import Transaction
from shared.database.units import Database
from shared.errors import Conflict, OutcomeUnknown, Problem, RuleBroken, Unavailable
from shared.ids import new_id
from shared.rpc import Rpc
from tests.support.databases import Heard
from user_svc import accounts, registration
from user_svc.contracts import Register, UserId, UserRegistered, UserRegistrationFailed
from user_svc.models import User
from user_svc.settings import UserSettings

SETTINGS = UserSettings(argon2_memory_kib=64, argon2_passes=1, registration_retry_s=0.001)
IMPATIENT = UserSettings(argon2_memory_kib=64, registration_retry_s=0.001, registration_patience_s=0.002)


class Payment:
    """The payment service as the user service sees it, with troubles to come.

    A trouble is the problem that the next call ends with, and whether the account was opened before it.
    """

    def __init__(self) -> None:
        self.open: set[int] = set()
        self.troubles: deque[tuple[Problem, bool]] = deque()
        self.asked = 0

    async def call(self, call: Any, *, timeout: float | None = None) -> None:  # noqa: ASYNC109
        assert isinstance(call, OpenAccount)
        self.asked += 1
        await asyncio.sleep(0)
        problem, opened = self.troubles.popleft() if self.troubles else (None, True)
        if opened:
            self.open.add(call.user_id)
        if problem is not None:
            raise problem

    def hear(self, heard: Heard) -> None:
        """Close the accounts of failed registrations, as payment does."""
        for event in heard.of(UserRegistrationFailed):
            self.open.discard(event.user_id)


@pytest.fixture
def payment() -> Payment:
    """A payment service that works, unless told otherwise."""
    return Payment()


def _call(email: str = "kim@mail.example", request_id: UUID | None = None, **changes: str) -> Register:
    fields = {"name": "Kim", "address": "Seoul", "password": "correct horse", **changes}
    return Register(request_id=request_id or new_id(), email=email, **fields)


async def _register(db: Database, payment: Payment, call: Register | None = None) -> UserId:
    return await registration.register(call or _call(), db, cast(Rpc, payment), SETTINGS)


async def _job(db: Database, payment: Payment, settings: UserSettings = SETTINGS) -> None:
    await asyncio.sleep(0.01)
    await registration.take_up_unfinished(db, cast(Rpc, payment), settings)


async def _states(db: Database) -> dict[int, str]:
    return dict(await db.read(lambda r: r.rows("SELECT id, state FROM users")))


async def test_a_user_comes_to_be_with_its_account(db: Database, heard: Heard, payment: Payment) -> None:
    registered = await _register(db, payment)
    assert await _states(db) == {registered.id: "ACTIVE"}
    assert payment.open == {registered.id}
    assert heard.events == [UserRegistered(user_id=registered.id)]


async def test_bad_fields_are_refused_before_anything_is_written(db: Database, payment: Payment) -> None:
    with pytest.raises(RuleBroken) as refused:
        await _register(db, payment, _call("nonsense", password="short"))
    assert [error.field for error in refused.value.errors] == ["email", "password"]
    assert await _states(db) == {}


async def test_an_address_is_taken_in_any_case(db: Database, payment: Payment) -> None:
    await _register(db, payment, _call("Kim@Mail.Example"))
    with pytest.raises(Conflict) as refused:
        await _register(db, payment, _call("kim@mail.EXAMPLE"))
    assert refused.value.errors[0].field == "email"


async def test_of_many_who_want_one_address_one_gets_it(db: Database, payment: Payment) -> None:
    results = await asyncio.gather(*(_register(db, payment) for _ in range(12)), return_exceptions=True)
    assert sum(isinstance(result, UserId) for result in results) == 1
    assert sum(isinstance(result, Conflict) for result in results) == 11
    assert list((await _states(db)).values()) == ["ACTIVE"]


async def test_a_repeated_request_gets_the_same_answer(db: Database, heard: Heard, payment: Payment) -> None:
    call = _call()
    results = await asyncio.gather(*(_register(db, payment, call) for _ in range(8)))
    results.append(await _register(db, payment, call))
    assert len(set(results)) == 1
    assert len(heard.of(UserRegistered)) == 1


@pytest.mark.parametrize("problem", [Unavailable("away"), Conflict("closed"), Problem("broken")])
async def test_without_an_account_nobody_is_registered(
    db: Database, heard: Heard, payment: Payment, problem: Problem
) -> None:
    payment.troubles.append((problem, False))
    with pytest.raises(Unavailable):
        await _register(db, payment)
    assert await _states(db) == {}
    assert len(heard.of(UserRegistrationFailed)) == 1
    assert (await _register(db, payment)).id not in {e.user_id for e in heard.of(UserRegistrationFailed)}


@pytest.mark.parametrize("opened", [True, False])
async def test_a_lost_answer_is_settled_by_the_job(
    db: Database, heard: Heard, payment: Payment, opened: bool
) -> None:
    payment.troubles.append((OutcomeUnknown("lost"), opened))
    with pytest.raises(OutcomeUnknown):
        await _register(db, payment)
    assert list((await _states(db)).values()) == ["OPENING"]
    await _job(db, payment)
    states = await _states(db)
    assert list(states.values()) == ["ACTIVE"]
    assert payment.open == set(states)
    assert len(heard.of(UserRegistered)) == 1


async def test_the_job_waits_for_payment_but_not_for_ever(
    db: Database, heard: Heard, payment: Payment
) -> None:
    payment.troubles += [
        (OutcomeUnknown("lost"), True),
        (Unavailable("away"), False),
        (OutcomeUnknown("lost"), True),
    ]
    with pytest.raises(OutcomeUnknown):
        await _register(db, payment)
    await _job(db, payment)
    assert list((await _states(db)).values()) == ["OPENING"]
    await _job(db, payment, IMPATIENT)
    assert await _states(db) == {}
    payment.hear(heard)
    assert payment.open == set()


async def test_a_request_repeated_after_a_lost_answer_finishes_the_sign_up(
    db: Database, payment: Payment
) -> None:
    call = _call()
    payment.troubles.append((OutcomeUnknown("lost"), True))
    with pytest.raises(OutcomeUnknown):
        await _register(db, payment, call)
    registered = await _register(db, payment, call)
    assert await _states(db) == {registered.id: "ACTIVE"}


async def test_a_process_that_dies_leaves_a_sign_up_for_the_job(
    db: Database, heard: Heard, payment: Payment
) -> None:
    begun = await db.transaction(lambda tx: accounts.begin(tx, _call(), "hash", retry_s=0.001))
    await _job(db, payment)
    assert await _states(db) == {begun.user_id: "ACTIVE"}
    await _job(db, payment)
    assert payment.asked == 1
    assert len(heard.of(UserRegistered)) == 1


async def test_only_the_first_step_out_of_opening_counts(db: Database, heard: Heard) -> None:
    begun = await db.transaction(lambda tx: accounts.begin(tx, _call(), "hash", retry_s=0.001))
    steps = [accounts.activate, accounts.undo] * 6

    async def step(number: int) -> bool:
        async def unit(tx: Transaction) -> bool:
            return await steps[number](tx, begun.user_id)

        return await db.transaction(unit)

    await asyncio.gather(*(step(number) for number in range(len(steps))))
    assert len(heard.events) == 1
    lives = isinstance(heard.events[0], UserRegistered)
    assert await _states(db) == ({begun.user_id: "ACTIVE"} if lives else {})


async def test_replicas_that_take_up_the_same_sign_up_agree(
    db: Database, heard: Heard, payment: Payment
) -> None:
    await db.transaction(lambda tx: accounts.begin(tx, _call(), "hash", retry_s=0.001))
    payment.troubles += [(Unavailable("away"), False), (Problem("broken"), True)]
    await asyncio.gather(*(_job(db, payment, IMPATIENT) for _ in range(6)))
    payment.hear(heard)
    states = await _states(db)
    assert set(states.values()) <= {"ACTIVE"}
    assert payment.open == set(states)
    assert len(heard.events) == 1


async def test_a_sign_up_that_waits_is_taken_up_by_one_replica_at_a_time(
    db: Database, payment: Payment
) -> None:
    patient = UserSettings(argon2_memory_kib=64, argon2_passes=1, registration_retry_s=30)
    for number in range(5):
        call = _call(f"kim{number}@mail.example")
        await db.transaction(lambda tx, call=call: accounts.begin(tx, call, "hash", retry_s=0.001))
    await asyncio.gather(*(_job(db, payment, patient) for _ in range(6)))
    assert payment.asked == 5
    assert set((await _states(db)).values()) == {"ACTIVE"}


async def test_a_repeated_sign_up_is_due_again_later_than_the_request_takes(
    db: Database, payment: Payment
) -> None:
    call = _call()
    begun = await db.transaction(lambda tx: accounts.begin(tx, call, "hash", retry_s=0.001))
    payment.troubles.append((OutcomeUnknown("lost"), True))
    patient = UserSettings(argon2_memory_kib=64, argon2_passes=1, registration_retry_s=30)
    with pytest.raises(OutcomeUnknown):
        await registration.register(call, db, cast(Rpc, payment), patient)
    await _job(db, payment, patient)
    assert await _states(db) == {begun.user_id: "OPENING"}
    assert payment.asked == 1
    await db.execute("UPDATE users SET due_at = UTC_TIMESTAMP(6)")
    await _job(db, payment, patient)
    assert await _states(db) == {begun.user_id: "ACTIVE"}


async def test_the_table_refuses_a_sign_up_that_nobody_would_take_up(db: Database) -> None:
    await db.transaction(lambda tx: accounts.begin(tx, _call(), "hash", retry_s=1))
    with pytest.raises(Exception, match=r"(?i)constraint.*an_opening_user_is_due"):
        await db.execute("UPDATE users SET due_at = NULL")


async def test_the_migration_has_old_sign_ups_taken_up(db: Database, payment: Payment) -> None:
    await db.transaction(lambda tx: accounts.begin(tx, _call(), "hash", retry_s=1000))
    [check] = User._meta.constraints
    await db.execute(f"ALTER TABLE users DROP CONSTRAINT {check.name}")
    await db.execute("UPDATE users SET due_at = NULL")
    for _ in range(2):
        await db.execute(importlib.import_module("user_svc.migrations.0004_waiting_is_due").MEND_USERS)
    await db.execute(f"ALTER TABLE users ADD CONSTRAINT {check.name} CHECK ({check.check})")
    await _job(db, payment)
    assert list((await _states(db)).values()) == ["ACTIVE"]
