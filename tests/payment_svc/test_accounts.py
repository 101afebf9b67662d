"""Point accounts: opened and closed once, points given and taken by admins, the ledger page by page."""

import asyncio
from datetime import UTC, datetime

import pytest

from payment_svc import calls, events
from payment_svc.contracts import GetHistory, GrantPoints, LedgerPage, ListAudit, OpenAccount
from shared.errors import Conflict, NotFound, RuleBroken
from shared.ids import new_id
from tests.payment_svc.world import ADMIN, BUYER, World, at_once


async def _history(world: World, **fields: int | None) -> LedgerPage:
    call = GetHistory(user_id=BUYER, **fields)  # type: ignore[arg-type]
    return await world.db.read(lambda reader: calls.get_history(call, reader))


async def _close(world: World) -> None:
    failed = events.UserRegistrationFailed(user_id=BUYER)
    await world.within(lambda tx: events.close_account(failed, tx))


async def test_an_account_is_opened_once(world: World) -> None:
    await world.open_account(points=5)
    again = await world.within(lambda tx: calls.open_account(OpenAccount(user_id=BUYER), tx))
    assert again.balance == 5
    await world.books_agree()


async def test_callers_who_open_an_account_at_once_all_get_it(world: World) -> None:
    await asyncio.gather(*(world.open_account() for _ in range(10)))
    assert await world.balance() == 0
    assert await world.sql("SELECT kind FROM ledger") == [("opening",)]


async def test_an_account_closed_before_it_was_opened_stays_closed(world: World) -> None:
    for _ in range(2):
        await _close(world)
    with pytest.raises(Conflict):
        await world.open_account()
    for asked in (world.balance(), world.grant(1), world.buy(), _history(world)):
        with pytest.raises(NotFound):
            await asked


async def test_an_open_account_can_be_closed(world: World) -> None:
    await world.open_account()
    await _close(world)
    with pytest.raises(Conflict):
        await world.open_account()


async def test_points_are_given_and_taken_once_with_a_reason_and_who_did_it(world: World) -> None:
    await world.open_account()
    gift, fine = new_id(), new_id()
    assert await world.grant(30, grant_id=gift) == 30
    assert await world.grant(-12, grant_id=fine) == 18
    assert await world.grant(30, grant_id=gift) == 30  # as it was answered the first time
    assert await world.balance() == 18
    [taken, given, _] = (await _history(world)).items
    assert (given.kind, given.delta, given.note) == ("grant", 30, "a test")
    assert (taken.delta, taken.balance, taken.payment_id) == (-12, 18, None)
    log = await world.db.read(lambda reader: calls.list_audit(ListAudit(), reader))
    assert [(one.action, one.by, one.subject, one.details["delta"]) for one in log.items] == [
        ("points.granted", ADMIN, str(BUYER), -12),
        ("points.granted", ADMIN, str(BUYER), 30),
    ]
    await world.books_agree()


async def test_a_grant_sent_many_times_at_once_is_made_once(world: World) -> None:
    await world.open_account()
    gift = new_id()
    assert set(await asyncio.gather(*(world.grant(30, grant_id=gift) for _ in range(10)))) == {30}
    assert await world.balance() == 30
    assert await world.sql("SELECT COUNT(*) FROM audit_log") == [(1,)]


async def test_grants_at_once_never_take_an_account_below_zero(world: World) -> None:
    await world.open_account(points=100)
    outcomes = await at_once(*(world.grant(-30) for _ in range(6)))
    assert outcomes == ["RuleBroken"] * 3 + ["int"] * 3
    assert await world.balance() == 10
    await world.books_agree()


async def test_grants_have_limits(world: World) -> None:
    world.set(points_balance_max=150)
    await world.open_account(points=100)
    for delta in (51, -101):
        with pytest.raises(RuleBroken):
            await world.grant(delta)
    with pytest.raises(NotFound):
        await world.grant(1, user_id=BUYER + 1)
    assert await world.grant(50) == 150
    call = GrantPoints(grant_id=new_id(), user_id=BUYER, delta=51, reason="x", by=ADMIN)
    with pytest.raises(RuleBroken) as refused:
        await world.within(lambda tx: calls.grant_points(call, tx, world.settings))
    assert refused.value.errors[0].field == "delta"
    assert await world.sql("SELECT COUNT(*) FROM audit_log") == [(2,)]


async def test_the_history_is_read_page_by_page(world: World) -> None:
    await world.open_account()
    for _ in range(5):
        await world.grant(10)
    seen, after = [], None
    while True:
        page = await _history(world, limit=2, after=after)
        seen += page.items
        after = page.next
        if after is None:
            break
    assert [(entry.kind, entry.delta, entry.balance) for entry in seen] == [
        *(("grant", 10, balance) for balance in (50, 40, 30, 20, 10)),
        ("opening", 0, 0),
    ]
    assert abs(datetime.now(UTC) - seen[0].at).total_seconds() < 60


async def test_the_audit_log_is_read_page_by_page(world: World) -> None:
    await world.open_account()
    for delta in (1, 2, 3):
        await world.grant(delta)
    first = await world.db.read(lambda reader: calls.list_audit(ListAudit(limit=2), reader))
    rest = await world.db.read(lambda reader: calls.list_audit(ListAudit(after=first.next), reader))
    assert [one.details["delta"] for one in (*first.items, *rest.items)] == [3, 2, 1]
    assert rest.next is None


async def test_no_account_can_go_below_zero_even_by_mistake(world: World) -> None:
    await world.open_account(points=100)
    with pytest.raises(Exception, match="accounts_not_below_zero"):
        await world.execute("UPDATE accounts SET balance = -1 WHERE user_id = %s", BUYER)
