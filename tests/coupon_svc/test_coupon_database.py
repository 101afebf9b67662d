"""Coupons handed out, applied and given back, on a real database."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pymysql.err
import pytest

from coupon_svc import calls, events, handing_out
from coupon_svc.contracts import (
    CouponAudited,
    CouponsApplied,
    CouponsRejected,
    CouponsReleased,
    CreatePolicy,
    GetAppliedAmount,
    GrantCoupons,
    Granted,
    HeldCoupon,
    IssueCoupon,
    ListHeld,
    ListPolicies,
    ListUses,
)
from coupon_svc.domain import Line
from coupon_svc.events import OrderPlaced, ReleaseCoupons
from coupon_svc.seeds import seed
from coupon_svc.store.coupons import terms_of
from shared.database.idempotency import Idempotency
from shared.database.units import Database
from shared.errors import Conflict, NotFound, RuleBroken, Unavailable
from shared.ids import new_id
from tests.coupon_svc.fake_catalogue import FakeCatalogue
from tests.coupon_svc.fake_users import FakeUsers
from tests.support.databases import Heard
from tests.support.held import blames_the_row
from tests.support.participant import Participant, TakesPart
from tests.support.plans import plans_of

NOW = datetime.now(UTC)


async def _do(db: Database, handler: Callable[..., Awaitable[Any]], call: Any) -> Any:
    return await db.transaction(lambda tx: handler(call, tx))


async def _ask(db: Database, handler: Callable[..., Awaitable[Any]], call: Any) -> Any:
    return await db.read(lambda reader: handler(call, reader))


async def _policy(db: Database, **changes: Any) -> int:
    terms: dict[str, Any] = {
        "name": "3,000 off",
        "kind": "fixed",
        "discount_amount": 3_000,
        "valid_from": NOW - timedelta(days=1),
        "valid_until": NOW + timedelta(days=1),
    }
    call = CreatePolicy(request_id=new_id(), **(terms | changes))
    return (await _do(db, calls.create_policy, call)).id


async def _issue(db: Database, policy_id: int, user_id: int = 2) -> int:
    call = IssueCoupon(request_id=new_id(), policy_id=policy_id, user_id=user_id)
    return (await _do(db, handing_out.issue_coupon, call)).id


async def _grant(db: Database, call: GrantCoupons, users: FakeUsers | None = None) -> Granted:
    known = users or FakeUsers()
    return await handing_out.grant_coupons(call, db, known, Idempotency.without_key())  # type: ignore[arg-type]


async def _held(db: Database, user_id: int = 2) -> list[HeldCoupon]:
    return (await _ask(db, handing_out.list_held, ListHeld(user_id=user_id))).items


def _placed(*coupons: int, price: int = 10_000, discounted: int = 7_000, buyer: int = 2) -> OrderPlaced:
    lines = [
        Line(
            item_id=1,
            quantity=1,
            unit_price=price,
            discounted_price=discounted,
            user_coupon_ids=list(coupons),
        ),
        Line(item_id=2, quantity=5, unit_price=10, discounted_price=10),
    ]
    return OrderPlaced(
        order_id=new_id(), buyer_id=buyer, lines=lines, participants=["item", "coupon"], placed_at=NOW
    )


async def _place(db: Database, *orders: OrderPlaced) -> None:
    await db.transaction(lambda tx: events.apply_coupons(list(orders), tx))


async def _release(db: Database, *order_ids: UUID) -> None:
    releases = [ReleaseCoupons(order_id=order_id) for order_id in order_ids]
    await db.transaction(lambda tx: events.release_coupons(releases, tx))


async def _books_balance(db: Database) -> None:
    """Each coupon has the one use that is not released, by an order that holds; policies count right."""
    unequal = await db.read(
        lambda r: r.rows(
            "SELECT u.id, u.used_by, GROUP_CONCAT(s.order_id), COUNT(s.id) FROM user_coupons u"
            " LEFT JOIN coupon_uses s ON s.user_coupon_id = u.id AND s.released_at IS NULL"
            " LEFT JOIN coupon_claims c ON c.order_id = s.order_id"
            " GROUP BY u.id, u.used_by"
            " HAVING COUNT(s.id) <> (u.used_by IS NOT NULL)"
            " OR NOT (COALESCE(MAX(s.order_id), '') <=> COALESCE(u.used_by, ''))"
            " OR SUM(s.id IS NOT NULL AND NOT (c.state <=> 'HELD')) > 0"
        )
    )
    assert unequal == []
    unequal = await db.read(
        lambda r: r.rows(
            "SELECT p.id FROM coupon_policies p LEFT JOIN user_coupons u ON u.policy_id = p.id"
            " GROUP BY p.id, p.issued HAVING COUNT(u.id) <> p.issued"
        )
    )
    assert unequal == []


async def test_a_policy_is_made_once_and_listed(db: Database) -> None:
    call = CreatePolicy(
        request_id=new_id(),
        name=" Winter ",
        kind="percentage",
        discount_percent=15,
        valid_from=NOW,
        valid_until=NOW + timedelta(days=30),
        quantity=5,
        floor_price=100,
    )
    made = await asyncio.gather(*(_do(db, calls.create_policy, call) for _ in range(5)))
    assert len({one.id for one in made}) == 1
    other = await _policy(db)
    page = await _ask(db, calls.list_policies, ListPolicies(limit=1))
    [winter] = page.items
    assert (winter.name, winter.discount_percent, winter.discount_amount) == ("Winter", 15, None)
    assert (winter.valid_from, winter.quantity, winter.issued, winter.floor_price) == (NOW, 5, 0, 100)
    rest = await _ask(db, calls.list_policies, ListPolicies(limit=1, after=page.next))
    assert [policy.id for policy in rest.items] == [other]
    assert rest.next is None


async def test_a_coupon_taken_is_held(db: Database) -> None:
    policy = await _policy(db, per_user_limit=2)
    call = IssueCoupon(request_id=new_id(), policy_id=policy, user_id=2)
    taken = await asyncio.gather(*(_do(db, handing_out.issue_coupon, call) for _ in range(5)))
    assert len({one.id for one in taken}) == 1
    assert await _held(db) == [taken[0]]
    assert (taken[0].coupon_id, taken[0].discount_amount, taken[0].used) == (policy, 3_000, False)
    await _issue(db, policy)
    with pytest.raises(Conflict):
        await _issue(db, policy)
    await _issue(db, policy, 3)
    with pytest.raises(NotFound):
        await _issue(db, 10**15)
    await _books_balance(db)


async def test_coupons_cannot_be_taken_outside_their_window(db: Database) -> None:
    early = await _policy(db, valid_from=NOW + timedelta(hours=1))
    late = await _policy(db, valid_until=NOW - timedelta(hours=1))
    for policy in (early, late):
        with pytest.raises(RuleBroken):
            await _issue(db, policy)
    await _grant(db, GrantCoupons(request_id=new_id(), policy_id=early, user_ids=[2]))


async def test_of_a_thousand_buyers_exactly_as_many_get_one_as_there_are(db: Database) -> None:
    policy = await _policy(db, quantity=100)
    outcomes = await asyncio.gather(
        *(_issue(db, policy, user) for user in range(1, 1_001)), return_exceptions=True
    )
    assert sum(isinstance(outcome, int) for outcome in outcomes) == 100
    assert {type(outcome) for outcome in outcomes} == {int, Conflict}
    await _books_balance(db)


async def test_a_grant_is_for_all_or_for_none(db: Database) -> None:
    policy = await _policy(db, quantity=3, per_user_limit=1)
    grant = GrantCoupons(request_id=new_id(), policy_id=policy, user_ids=[9, 7])
    first = await _grant(db, grant)
    assert await _grant(db, grant) == first
    assert [one.user_id for one in first.granted] == [9, 7]
    for users in ([1, 2], [7]):
        with pytest.raises(Conflict):
            await _grant(db, GrantCoupons(request_id=new_id(), policy_id=policy, user_ids=users))
    assert await _held(db, 1) == []
    await _books_balance(db)


async def test_a_grant_names_users_who_do_not_exist(db: Database) -> None:
    policy, users = await _policy(db), FakeUsers(10)
    call = GrantCoupons(request_id=new_id(), policy_id=policy, user_ids=[9, 11, 2, 2**60])
    with pytest.raises(RuleBroken) as refused:
        await _grant(db, call, users)
    assert [(one.field, one.message) for one in refused.value.errors] == [
        ("user_ids[1]", "there is no user 11"),
        ("user_ids[3]", f"there is no user {2**60}"),
    ]
    users.away = True
    with pytest.raises(Unavailable):
        await _grant(db, call, users)
    assert await _held(db, 9) == []
    with pytest.raises(NotFound):
        await _grant(db, GrantCoupons(request_id=new_id(), policy_id=10**15, user_ids=[9]))
    await _books_balance(db)


class CouponSide(Participant):
    """Coupon, of which each good order uses one of its own."""

    accepted, rejected, released = CouponsApplied, CouponsRejected, CouponsReleased

    def __init__(self, db: Database, heard: Heard) -> None:
        super().__init__(db, heard)
        self.in_use: OrderPlaced | None = None

    async def good(self) -> OrderPlaced:
        return _placed(await _issue(self.db, await _policy(self.db)))

    async def bad(self) -> OrderPlaced:
        coupon = await _issue(self.db, await _policy(self.db))
        self.in_use = _placed(coupon)
        await self.place(self.in_use)
        return _placed(coupon)

    async def supply(self) -> None:
        assert self.in_use is not None
        await self.release(self.in_use.order_id)
        self.in_use = None

    def elsewhere(self) -> OrderPlaced:
        return OrderPlaced(order_id=new_id(), buyer_id=2, lines=[], participants=["item"], placed_at=NOW)

    async def place(self, *orders: OrderPlaced) -> None:
        await _place(self.db, *orders)

    async def release(self, *order_ids: UUID) -> None:
        await _release(self.db, *order_ids)

    async def taken(self) -> int:
        return sum(held.used for held in await _held(self.db)) - (self.in_use is not None)

    async def books_balance(self) -> None:
        await _books_balance(self.db)


class TestCouponTakesPart(TakesPart):
    @pytest.fixture
    def side(self, db: Database, heard: Heard) -> CouponSide:
        return CouponSide(db, heard)


async def test_an_order_uses_its_coupons_and_no_other_order_can(db: Database, heard: Heard) -> None:
    coupon = await _issue(db, await _policy(db))
    yes, no = _placed(coupon), _placed(coupon)
    await _place(db, yes, no)
    details = {"user_coupon_id": coupon, "why": "used"}
    expected = [
        CouponsApplied(order_id=yes.order_id),
        CouponsRejected(order_id=no.order_id, reason="coupon_invalid", details=details),
    ]
    assert [event for event in heard.events if not isinstance(event, CouponAudited)] == expected
    await _place(db, no, yes)
    assert heard.events[3:] == expected[::-1]
    [held] = await _held(db)
    assert (held.used, held.order_id) == (True, yes.order_id)
    assert held.used_at is not None
    await _books_balance(db)


async def test_another_users_coupon_is_refused_and_stays_unused(db: Database, heard: Heard) -> None:
    coupon = await _issue(db, await _policy(db), user_id=3)
    await _place(db, _placed(coupon), _placed(10**15))
    assert [no.details["why"] for no in heard.of(CouponsRejected)] == ["unknown", "unknown"]
    assert [held.used for held in await _held(db, 3)] == [False]


async def test_a_wrong_discount_uses_no_coupon(db: Database, heard: Heard) -> None:
    coupon = await _issue(db, await _policy(db))
    await _place(db, _placed(coupon, discounted=6_999))
    [no] = heard.of(CouponsRejected)
    assert (no.reason, no.details) == (
        "discount_mismatch",
        {"item_id": 1, "asked": 6_999, "expected": 7_000},
    )
    assert [held.used for held in await _held(db)] == [False]
    await _books_balance(db)


async def test_a_release_gives_back_once_and_the_coupon_serves_another_order(
    db: Database, heard: Heard
) -> None:
    coupon = await _issue(db, await _policy(db))
    first, second = _placed(coupon), _placed(coupon)
    await _place(db, first)
    await _release(db, first.order_id)
    await _place(db, second)
    await _release(db, first.order_id, first.order_id)
    await _place(db, first)
    assert heard.of(CouponsApplied) == [
        CouponsApplied(order_id=first.order_id),
        CouponsApplied(order_id=second.order_id),
    ]
    assert heard.of(CouponsReleased) == [CouponsReleased(order_id=first.order_id)] * 3
    assert heard.events[-1] == CouponsRejected(order_id=first.order_id, reason="released", details={})
    assert [held.used for held in await _held(db)] == [True]
    await _books_balance(db)


async def test_one_coupon_asked_for_everywhere_at_once_is_used_once(db: Database, heard: Heard) -> None:
    coupon = await _issue(db, await _policy(db))
    await asyncio.gather(*(_place(db, _placed(coupon)) for _ in range(20)))
    assert len(heard.of(CouponsApplied)) == 1
    assert len(heard.of(CouponsRejected)) == 19
    await _books_balance(db)


async def test_orders_and_their_releases_in_any_order_and_number_keep_the_books(
    db: Database, heard: Heard
) -> None:
    dice = random.Random(11)  # noqa: S311  a repeatable shuffle
    policy = await _policy(db)
    coupons = [await _issue(db, policy) for _ in range(20)]
    orders = [
        _placed(*dice.sample(coupons, 2), price=10_000, discounted=4_000)
        if dice.random() < 0.5
        else _placed(dice.choice(coupons))
        for _ in range(60)
    ]
    released = [order.order_id for order in orders[::2]]
    lists: list[Any] = []
    for _ in range(2):
        dice.shuffle(orders)
        dice.shuffle(released)
        lists += [orders[start : start + 7] for start in range(0, len(orders), 7)]
        lists += [released[start : start + 4] for start in range(0, len(released), 4)]
    dice.shuffle(lists)
    gate = asyncio.Semaphore(6)

    async def deliver(part: Any) -> None:
        async with gate:
            await (_place(db, *part) if isinstance(part[0], OrderPlaced) else _release(db, *part))

    await asyncio.gather(*map(deliver, lists))
    await _books_balance(db)
    states = dict(await db.read(lambda r: r.rows("SELECT order_id, state FROM coupon_claims")))
    assert {states[str(order_id)] for order_id in released} == {"RELEASED"}
    assert len(heard.of(CouponsReleased)) == 2 * len(released)
    assert heard.of(CouponsApplied)


async def _applied(
    db: Database, *coupons: int, item: int = 1, buyer: int = 2, shop: FakeCatalogue | None = None
) -> Any:
    call = GetAppliedAmount(item_id=item, user_coupon_ids=list(coupons), buyer_id=buyer)
    return await calls.applied_amount(call, db, shop or FakeCatalogue())  # type: ignore[arg-type]


async def test_the_seeded_coupons_make_39780_of_49800(db: Database) -> None:
    for _ in range(2):
        await db.transaction(seed)
    amount = await _applied(db, 2, 1)
    assert (amount.item_id, amount.price, amount.discounted_price) == (1, 49_800, 39_780)
    assert (await _applied(db)).discounted_price == 49_800
    assert [(held.id, held.coupon_id) for held in await _held(db, 3)] == [(3, 1), (4, 2)]
    await _books_balance(db)


async def test_an_amount_is_refused_as_an_order_would_be(db: Database) -> None:
    await db.transaction(seed)
    floored = await _issue(db, await _policy(db, floor_price=49_000))
    for broken in ((1, 2, floored), (1, 1), (floored,)):
        with pytest.raises(RuleBroken):
            await _applied(db, *broken)
    for coupon, item in ((3, 1), (99, 1), (1, 2)):
        with pytest.raises(NotFound):
            await _applied(db, coupon, item=item)
    await _place(db, _placed(1))
    with pytest.raises(RuleBroken, match="used already"):
        await _applied(db, 1)


async def test_the_uses_of_a_policys_coupons_are_listed_also_those_given_back(db: Database) -> None:
    policy = await _policy(db)
    coupon, other = await _issue(db, policy), await _issue(db, await _policy(db))
    orders = [_placed(coupon), _placed(other), _placed(coupon)]
    for order in orders[:2]:
        await _place(db, order)
        await _release(db, order.order_id)
    await _place(db, orders[2])
    page = await _ask(db, calls.list_uses, ListUses(policy_id=policy, limit=1))
    rest = await _ask(db, calls.list_uses, ListUses(policy_id=policy, limit=1, after=page.next))
    uses = page.items + rest.items
    assert [(use.order_id, use.released_at is None) for use in uses] == [
        (orders[2].order_id, True),
        (orders[0].order_id, False),
    ]
    assert {(use.user_coupon_id, use.user_id) for use in uses} == {(coupon, 2)}
    assert rest.next is None
    assert (await _ask(db, calls.list_uses, ListUses(policy_id=await _policy(db)))).items == []
    with pytest.raises(NotFound):
        await _ask(db, calls.list_uses, ListUses(policy_id=10**15))


async def test_the_table_itself_refuses_to_issue_more_than_there_are(db: Database) -> None:
    policy = await _policy(db, quantity=1)
    with pytest.raises((pymysql.err.OperationalError, pymysql.err.IntegrityError), match="more_than_there"):
        await db.transaction(
            lambda tx: tx.execute("UPDATE coupon_policies SET issued = 2 WHERE id = %s", [policy])
        )


async def test_terms_are_found_from_the_coupons_and_not_among_all_of_a_policy(db: Database) -> None:
    policy = await _policy(db, quantity=None, per_user_limit=None)
    coupons = [await _issue(db, policy, user) for user in range(1, 40)]
    sql, args = terms_of(coupons[:3]).question or ("", [])
    first, second = await db.read(lambda reader: plans_of(reader, sql, args))
    assert (first.table, first.key, first.rows) == ("u", "PRIMARY", 3)
    assert (second.table, second.possible) == ("p", "PRIMARY")


async def test_a_list_that_waits_for_a_row_finds_the_order_that_is_to_blame(db: Database) -> None:
    policy_id = await _policy(db)
    coupons = [await _issue(db, policy_id) for _ in range(3)]
    placing, claimed, releasing = (_placed(coupon) for coupon in coupons)
    await _place(db, claimed, releasing)
    again, release = ReleaseCoupons(order_id=claimed.order_id), ReleaseCoupons(order_id=releasing.order_id)
    await asyncio.gather(
        blames_the_row(
            db,
            lambda tx: events.apply_coupons([placing], tx),
            events.rows_of_order(placing),
            "user_coupons",
            f"id = {coupons[0]}",
        ),
        blames_the_row(
            db,
            lambda tx: events.release_coupons([again], tx),
            events.rows_of_release(again),
            "coupon_claims",
            f"order_id = '{claimed.order_id}'",
        ),
        blames_the_row(
            db,
            lambda tx: events.release_coupons([release], tx),
            events.rows_of_release(release),
            "user_coupons",
            f"id = {coupons[2]}",
        ),
    )
