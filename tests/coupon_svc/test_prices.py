"""Coupon's copy of item prices: events in any order, readings of the catalogue, and quotes made of it."""

from datetime import UTC, datetime
from itertools import permutations
from typing import Any

import pytest

from coupon_svc import calls, catalogue, handing_out
from coupon_svc.contracts import (
    CreatePolicy,
    GetAppliedAmount,
    GetQuote,
    GrantCoupons,
    Quoted,
    QuotedLine,
    QuoteLine,
    RereadPrices,
)
from coupon_svc.events import ItemChanged, ItemCreated, ItemDeleted, forget_items, learn_prices
from coupon_svc.settings import CouponSettings
from coupon_svc.store import prices
from coupon_svc.store.prices import Price
from item_svc.contracts import GetItems
from shared.database.idempotency import Idempotency
from shared.database.units import Database
from shared.errors import NotFound, RuleBroken
from shared.ids import new_id
from tests.coupon_svc.fake_catalogue import FakeCatalogue, shown
from tests.coupon_svc.fake_users import FakeUsers

CREATED = ItemCreated(item_id=7, price=100, version=1)
CHANGED = ItemChanged(item_id=7, price=200, version=2)
DELETED = ItemDeleted(item_id=7, version=3)


async def _hear(db: Database, *events: Any) -> None:
    for event in events:
        handler: Any = forget_items if isinstance(event, ItemDeleted) else learn_prices
        await db.transaction(lambda tx, event=event, handler=handler: handler([event], tx))


async def _known(db: Database, item: int = 7) -> Price | None:
    return (await db.read(lambda r: prices.known(r, [item]))).get(item)


async def _coupon(db: Database, user: int = 2, **changes: Any) -> int:
    terms: dict[str, Any] = {
        "name": "Off",
        "kind": "fixed",
        "valid_from": datetime(2020, 1, 1, tzinfo=UTC),
        "valid_until": datetime(2090, 1, 1, tzinfo=UTC),
    }
    policy = CreatePolicy(request_id=new_id(), **(terms | changes))
    made = await db.transaction(lambda tx: calls.create_policy(policy, tx))
    call = GrantCoupons(request_id=new_id(), policy_id=made.id, user_ids=[user])
    granted = await handing_out.grant_coupons(call, db, FakeUsers(), Idempotency.without_key())  # type: ignore[arg-type]
    return granted.granted[0].id


async def _quote(db: Database, *lines: QuoteLine, best: bool = False) -> Quoted:
    return await calls.quote(GetQuote(buyer_id=2, lines=list(lines), best_coupons=best), db)


def _line(item: int, *coupons: int, quantity: int = 1, price: int | None = None) -> QuoteLine:
    return QuoteLine(item_id=item, quantity=quantity, user_coupon_ids=list(coupons), unit_price=price)


@pytest.mark.parametrize("events", list(permutations([CREATED, CHANGED])))
async def test_the_later_version_counts_in_whatever_order_they_come(db: Database, events: Any) -> None:
    await _hear(db, *events, *events)
    assert await _known(db) == Price(7, 200, 2)


@pytest.mark.parametrize("events", list(permutations([CREATED, CHANGED, DELETED])))
async def test_what_is_deleted_stays_so_in_whatever_order_it_is_told(db: Database, events: Any) -> None:
    await _hear(db, *events, *events)
    known = await _known(db)
    assert known is not None
    assert (known.version, known.deleted) == (3, True)


async def test_versions_of_one_item_may_come_in_one_list(db: Database) -> None:
    later = ItemChanged(item_id=7, price=5, version=3)
    await db.transaction(lambda tx: learn_prices([later, CREATED, CHANGED, later], tx))
    assert await _known(db) == Price(7, 5, 3)


async def test_an_amount_needs_no_call_once_the_price_was_told(db: Database) -> None:
    coupon = await _coupon(db, discount_amount=30)
    shop = FakeCatalogue()
    shop.away = True
    await _hear(db, CHANGED)
    call = GetAppliedAmount(item_id=7, user_coupon_ids=[coupon], buyer_id=2)
    amount = await calls.applied_amount(call, db, shop)  # type: ignore[arg-type]
    assert (amount.price, amount.discounted_price) == (200, 170)
    await _hear(db, DELETED)
    with pytest.raises(NotFound):
        await calls.applied_amount(call, db, shop)  # type: ignore[arg-type]
    assert shop.asked == []


async def test_an_item_not_heard_of_yet_is_asked_for_once(db: Database) -> None:
    shop = FakeCatalogue()
    call = GetAppliedAmount(item_id=1, user_coupon_ids=[], buyer_id=2)
    for _ in range(2):
        assert (await calls.applied_amount(call, db, shop)).price == 49_800  # type: ignore[arg-type]
    assert len(shop.asked) == 1


async def test_reading_the_catalogue_mends_what_is_missing_wrong_or_gone(db: Database) -> None:
    shop = FakeCatalogue(*(shown(number, 10, version=3) for number in range(2, 450)))
    await _hear(db, ItemCreated(item_id=2, price=99, version=1), ItemCreated(item_id=3, price=77, version=4))
    await _hear(db, ItemCreated(item_id=900, price=1, version=1))
    found = await calls.reread_prices(RereadPrices(), db, shop)  # type: ignore[arg-type]
    assert (found.items, found.gone) == (449, 1)
    assert [await _known(db, number) for number in (1, 2, 3, 900)] == [
        Price(1, 49_800, 1),
        Price(2, 10, 3),
        Price(3, 77, 4),
        Price(900, 1, 1, deleted=True),
    ]
    # A change that was told before the deletion, but arrives now, does not bring it back.
    await _hear(db, ItemChanged(item_id=900, price=2, version=2))
    again = await _known(db, 900)
    assert again is not None
    assert again.deleted


async def test_an_item_that_came_while_the_pages_were_read_is_not_taken_for_gone(db: Database) -> None:
    shop = FakeCatalogue()
    asked = shop.call

    async def call(call: Any) -> Any:
        page = await asked(call)
        if not isinstance(call, GetItems):
            shop.items[50] = shown(50, 5)
            await _hear(db, ItemCreated(item_id=50, price=5, version=1))
        return page

    shop.call = call
    await calls.reread_prices(RereadPrices(), db, shop)  # type: ignore[arg-type]
    assert await _known(db, 50) == Price(50, 5, 1)


async def test_the_catalogue_is_read_at_first_and_again_when_it_is_time(db: Database) -> None:
    shop = FakeCatalogue()
    shop.away = True
    await catalogue.keep_true(db, shop, CouponSettings())  # type: ignore[arg-type]
    assert await _known(db, 1) is None
    shop.away = False
    for _ in range(3):
        await catalogue.keep_true(db, shop, CouponSettings())  # type: ignore[arg-type]
    assert await _known(db, 1) == Price(1, 49_800, 1)
    assert len(shop.asked) == 2
    await catalogue.keep_true(db, shop, CouponSettings(coupon_reread_s=0.000001))  # type: ignore[arg-type]
    assert len(shop.asked) == 3


async def test_a_quote_prices_every_line_as_an_order_will_have_it(db: Database) -> None:
    await _hear(db, CHANGED)
    coupon = await _coupon(db, discount_amount=30)
    quoted = await _quote(db, _line(7, coupon), _line(7, quantity=5), _line(8, price=50))
    assert quoted.lines == [
        QuotedLine(item_id=7, quantity=1, unit_price=200, discounted_price=170, user_coupon_ids=[coupon]),
        QuotedLine(item_id=7, quantity=5, unit_price=200, discounted_price=200, user_coupon_ids=[]),
        QuotedLine(item_id=8, quantity=1, unit_price=50, discounted_price=50, user_coupon_ids=[]),
    ]


async def test_a_quote_says_which_prices_it_does_not_know(db: Database) -> None:
    await _hear(db, DELETED)
    assert await _quote(db, _line(7), _line(9), _line(8, price=1)) == Quoted(unknown=[7, 9])


async def test_a_quote_refuses_what_an_order_would_and_names_the_line(db: Database) -> None:
    mine, other = await _coupon(db, discount_amount=30), await _coupon(db, 3, discount_amount=30)
    floored = await _coupon(db, discount_amount=30, floor_price=180)
    refused = [
        ([_line(7, mine, price=200), _line(7, mine, price=200)], 1, RuleBroken),
        ([_line(7, mine, quantity=2, price=200)], 0, RuleBroken),
        ([_line(7, price=200), _line(7, floored, price=200)], 1, RuleBroken),
        ([_line(7, other, price=200)], 0, NotFound),
        ([_line(7, mine, floored, mine + 10**6, price=200)], 0, RuleBroken),
    ]
    for lines, number, kind in refused:
        with pytest.raises(kind) as refusal:
            await _quote(db, *lines)
        assert [error.field for error in refusal.value.errors] == [f"lines[{number}].user_coupon_ids"]


async def test_the_best_coupons_at_hand_are_chosen(db: Database) -> None:
    fixed = await _coupon(db, discount_amount=3_000)
    percentage = await _coupon(db, kind="percentage", discount_percent=15)
    await _coupon(db, kind="percentage", discount_percent=95, valid_from=datetime(2080, 1, 1, tzinfo=UTC))
    await _coupon(db, 3, kind="percentage", discount_percent=95)
    quoted = await _quote(
        db, _line(1, price=100), _line(2, quantity=2, price=10**6), _line(3, price=49_800), best=True
    )
    assert [(line.discounted_price, line.user_coupon_ids) for line in quoted.lines] == [
        (100, []),
        (10**6, []),
        (39_780, [fixed, percentage]),
    ]
    with pytest.raises(RuleBroken):
        await _quote(db, _line(1, fixed, price=100), best=True)
