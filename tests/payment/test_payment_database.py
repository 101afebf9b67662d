"""Accounts, charges and the payment of orders, on a real database."""

import asyncio
from datetime import UTC, datetime
from uuid import UUID

import pytest

from payment_svc import calls, events
from payment_svc.contracts import (
    Charge,
    Charged,
    GetBalance,
    GetHistory,
    OpenAccount,
    PaymentCaptured,
    PaymentDeclined,
    PaymentRefunded,
)
from payment_svc.events import OrderPlaced, ReleasePayment, UserRegistrationFailed
from payment_svc.settings import PaymentSettings
from shared.database import Database
from shared.errors import Conflict, NotFound, RuleBroken
from shared.ids import new_id
from tests.support.databases import Heard

SETTINGS = PaymentSettings()


async def _account(db: Database, user_id: int, points: int = 0) -> None:
    await db.transaction(lambda tx: calls.open_account(OpenAccount(user_id=user_id), tx))
    if points:
        await _charge(db, user_id, points, "opening")


async def _charge(
    db: Database, user_id: int, amount: int, key: str, settings: PaymentSettings = SETTINGS
) -> Charged:
    call = Charge(user_id=user_id, amount=amount, idempotency_key=key)
    return await db.transaction(lambda tx: calls.charge(call, tx, settings))


async def _balance(db: Database, user_id: int) -> int:
    return (await db.read(lambda r: calls.get_balance(GetBalance(user_id=user_id), r))).balance


def _placed(user_id: int, total: int, order_id: UUID | None = None, **changes: object) -> OrderPlaced:
    fields = {"pay_with": "points", "payment_key": None, "participants": ["item", "payment"], **changes}
    return OrderPlaced(order_id=order_id or new_id(), buyer_id=user_id, total=total, **fields)  # type: ignore[arg-type]


async def _place(db: Database, *orders: OrderPlaced) -> None:
    await db.transaction(lambda tx: events.capture(list(orders), tx, SETTINGS))


async def _release(db: Database, *order_ids: UUID) -> None:
    releases = [ReleasePayment(order_id=order_id) for order_id in order_ids]
    await db.transaction(lambda tx: events.release(releases, tx))


async def _books_balance(db: Database) -> None:
    """Every balance is the sum of its ledger, its last entry, and the ledger tells what the claims hold."""
    accounts = await db.read(
        lambda r: r.rows(
            "SELECT a.user_id, a.balance, SUM(l.delta),"
            " (SELECT balance FROM ledger n WHERE n.user_id = a.user_id ORDER BY id DESC LIMIT 1)"
            " FROM accounts a LEFT JOIN ledger l ON l.user_id = a.user_id WHERE a.state = 'OPEN'"
            " GROUP BY a.user_id, a.balance"
        )
    )
    for user_id, balance, total, last in accounts:
        assert balance == total == last, user_id
    unequal = await db.read(
        lambda r: r.rows(
            "SELECT c.payment_id FROM payments c LEFT JOIN ledger l ON l.payment_id = c.payment_id"
            " GROUP BY c.payment_id, c.state, c.method, c.amount"
            " HAVING COALESCE(SUM(l.delta), 0) <> IF(c.state = 'HELD' AND c.method = 'points', -c.amount, 0)"
        )
    )
    assert unequal == []


async def test_an_account_is_opened_once(db: Database) -> None:
    await _account(db, 7)
    await _charge(db, 7, 5, "a")
    again = await db.transaction(lambda tx: calls.open_account(OpenAccount(user_id=7), tx))
    assert again.balance == 5
    await _books_balance(db)


async def test_callers_who_open_an_account_at_once_all_get_it(db: Database) -> None:
    await asyncio.gather(*(_account(db, 7) for _ in range(10)))
    assert await _balance(db, 7) == 0
    rows = await db.read(lambda r: r.rows("SELECT kind FROM ledger"))
    assert rows == [("opening",)]


async def test_an_account_closed_before_it_was_opened_stays_closed(db: Database) -> None:
    for _ in range(2):
        await db.transaction(lambda tx: events.close_account(UserRegistrationFailed(user_id=7), tx))
    with pytest.raises(Conflict):
        await _account(db, 7)
    with pytest.raises(NotFound):
        await _balance(db, 7)
    with pytest.raises(NotFound):
        await _charge(db, 7, 1, "a")


async def test_an_open_account_can_be_closed(db: Database) -> None:
    await _account(db, 7)
    await db.transaction(lambda tx: events.close_account(UserRegistrationFailed(user_id=7), tx))
    with pytest.raises(Conflict):
        await _account(db, 7)


async def test_a_charge_is_made_once_for_each_key(db: Database) -> None:
    await _account(db, 7)
    assert await _charge(db, 7, 30, "a") == Charged(balance=30, amount=30)
    assert await _charge(db, 7, 12, "A") == Charged(balance=42, amount=12)
    assert await _charge(db, 7, 30, "a") == Charged(balance=30, amount=30)
    assert await _balance(db, 7) == 42
    with pytest.raises(RuleBroken):
        await _charge(db, 7, 31, "a")
    assert await _balance(db, 7) == 42
    await _books_balance(db)


async def test_two_users_may_choose_the_same_key(db: Database) -> None:
    await _account(db, 7, 10)
    await _account(db, 8, 20)
    assert (await _balance(db, 7), await _balance(db, 8)) == (10, 20)


async def test_a_charge_sent_many_times_at_once_is_made_once(db: Database) -> None:
    await _account(db, 7)
    answers = await asyncio.gather(*(_charge(db, 7, 30, "a") for _ in range(20)))
    assert set(answers) == {Charged(balance=30, amount=30)}
    assert await _balance(db, 7) == 30


async def test_charges_have_limits(db: Database) -> None:
    settings = PaymentSettings(points_charge_max=100, points_balance_max=150)
    await _account(db, 7)
    for amount in (0, -1, 101, 10**40):
        with pytest.raises(RuleBroken):
            await _charge(db, 7, amount, "a", settings)
    await _charge(db, 7, 100, "b", settings)
    with pytest.raises(RuleBroken):
        await _charge(db, 7, 51, "c", settings)
    assert (await _charge(db, 7, 50, "c", settings)).balance == 150


async def test_the_history_is_read_page_by_page(db: Database) -> None:
    await _account(db, 7)
    for number in range(5):
        await _charge(db, 7, 10, str(number))
    seen, after = [], None
    while True:
        call = GetHistory(user_id=7, limit=2, after=after)
        page = await db.read(lambda r, call=call: calls.get_history(call, r))
        seen += page.items
        after = page.next
        if after is None:
            break
    assert [(entry.kind, entry.delta, entry.balance) for entry in seen] == [
        *(("charge", 10, balance) for balance in (50, 40, 30, 20, 10)),
        ("opening", 0, 0),
    ]
    assert abs(datetime.now(UTC) - seen[0].at).total_seconds() < 60
    with pytest.raises(NotFound):
        await db.read(lambda r: calls.get_history(GetHistory(user_id=8), r))


async def test_a_list_of_orders_is_paid_as_far_as_the_points_go(db: Database, heard: Heard) -> None:
    await _account(db, 7, 100)
    await _account(db, 8, 100)
    orders = [_placed(7, 60), _placed(8, 100), _placed(7, 60), _placed(7, 40), _placed(9, 1)]
    await _place(db, *orders)
    assert [e.order_id for e in heard.of(PaymentCaptured)] == [orders[i].order_id for i in (0, 1, 3)]
    declined = heard.of(PaymentDeclined)
    assert [(e.order_id, e.reason, e.details) for e in declined] == [
        (orders[2].order_id, "insufficient_points", {"asked": 60, "balance": 40}),
        (orders[4].order_id, "insufficient_points", {"asked": 1, "balance": 0}),
    ]
    assert (await _balance(db, 7), await _balance(db, 8)) == (0, 0)
    await _books_balance(db)


async def test_an_order_that_payment_has_no_part_in_is_left_alone(db: Database, heard: Heard) -> None:
    await _account(db, 7, 100)
    await _place(db, _placed(7, 60, participants=["item"], pay_with=None))
    assert heard.events == []
    assert await db.read(lambda r: r.rows("SELECT 1 FROM payments")) == []


async def test_an_amount_beyond_every_account_is_declined(db: Database, heard: Heard) -> None:
    await _account(db, 7, 100)
    await _place(db, _placed(7, 2 * 10**21))
    assert heard.of(PaymentDeclined)[0].details == {"asked": 2 * 10**21, "balance": 100}


async def test_an_order_that_comes_again_gets_the_same_answer(db: Database, heard: Heard) -> None:
    await _account(db, 7, 100)
    yes, no = _placed(7, 60), _placed(7, 60)
    await _place(db, yes, yes)
    await _place(db, no)
    first = list(heard.events)
    assert len(first) == 2
    heard.events.clear()
    await _charge(db, 7, 1000, "now there is enough")
    await _place(db, no, yes)
    assert sorted(heard.events, key=str) == sorted(first, key=str)
    assert await _balance(db, 7) == 1040
    await _books_balance(db)


async def test_a_release_gives_back_once(db: Database, heard: Heard) -> None:
    await _account(db, 7, 100)
    held, rejected = _placed(7, 60), _placed(7, 60)
    await _place(db, held, rejected)
    payments = {e.order_id: e.payment_id for e in heard.events}  # type: ignore[attr-defined]
    heard.events.clear()
    for _ in range(2):
        await _release(db, held.order_id, rejected.order_id, held.order_id)
    assert {e.order_id: e.payment_id for e in heard.of(PaymentRefunded)} == payments
    assert len(heard.events) == 4
    assert await _balance(db, 7) == 100
    await _books_balance(db)
    heard.events.clear()
    await _place(db, held, rejected)
    reasons = {e.order_id: e.reason for e in heard.of(PaymentDeclined)}
    assert reasons == {held.order_id: "released", rejected.order_id: "insufficient_points"}
    assert await _balance(db, 7) == 100


async def test_an_order_released_before_it_was_heard_of_is_never_paid(db: Database, heard: Heard) -> None:
    await _account(db, 7, 100)
    order = _placed(7, 60)
    await _release(db, order.order_id)
    await _release(db, order.order_id)
    first, second = heard.of(PaymentRefunded)
    assert first == second
    await _place(db, order)
    late = heard.of(PaymentDeclined)
    assert [(e.payment_id, e.reason) for e in late] == [(first.payment_id, "released")]
    assert await _balance(db, 7) == 100


async def test_points_survive_everything_at_once(db: Database, heard: Heard) -> None:
    users = range(1, 6)
    for user_id in users:
        await _account(db, user_id, 100)
    orders = [_placed(1 + number % 5, 30, order_id=new_id()) for number in range(60)]
    lists = [orders[start : start + 20] for start in range(0, 60, 10)]
    work = [
        *(_place(db, *some) for some in lists),
        *(_place(db, *reversed(some)) for some in lists),
        *(_release(db, *(order.order_id for order in some[::3])) for some in lists),
        *(_charge(db, user_id, 7, "late") for user_id in users for _ in range(3)),
    ]
    await asyncio.gather(*work)
    await _books_balance(db)
    states = dict(await db.read(lambda r: r.rows("SELECT state, COUNT(*) FROM payments GROUP BY state")))
    assert sum(states.values()) == 60
    released = {order.order_id for some in lists for order in some[::3]}
    assert states["RELEASED"] == len(released)
    captured = {event.order_id for event in heard.of(PaymentCaptured)}
    assert states["HELD"] == len(captured - released)
    assert {event.order_id for event in heard.of(PaymentRefunded)} == released


async def test_no_account_can_go_below_zero_even_by_mistake(db: Database) -> None:
    await _account(db, 7, 100)
    with pytest.raises(Exception, match="accounts_not_below_zero"):
        await db.transaction(lambda tx: tx.execute("UPDATE accounts SET balance = -1 WHERE user_id = 7"))
