"""Quotes over HTTP: what an order would cost now, in the very form in which it can be placed."""

import asyncio
from typing import Annotated

from litestar import post
from litestar.params import JSONBody
from msgspec import Meta, Struct

from coupon_svc.contracts import GetQuote, Quoted, QuotedLine
from coupon_svc.contracts import QuoteLine as CouponLine
from gateway.door.api import BODY, problems
from gateway.door.requests import ShopRequest
from gateway.door.roles import OWN
from item_svc.contracts import CartQuantity, GetItems, ItemNumber
from shared.errors import FieldError, NotFound, RuleBroken
from shared.rpc import Rpc

MOST_TOTAL = 10**18
"""What an order may cost at most."""


class LineToQuote(Struct, frozen=True, forbid_unknown_fields=True):
    """So many of an item, with the coupons to be used on it."""

    item_id: ItemNumber
    quantity: CartQuantity
    user_coupon_ids: Annotated[list[ItemNumber], Meta(max_length=100)] = []


class QuoteRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be priced; with `best_coupons` lines name none, and the best that you hold are chosen.

    Those are the cheapest way to use them; with dozens of different coupons, a way that comes close to it.
    """

    lines: Annotated[list[LineToQuote], Meta(min_length=1, max_length=2000)]
    best_coupons: bool = False


class Quote(Struct, frozen=True, kw_only=True):
    """Lines at today's prices, as `POST /orders` takes them, and what they come to."""

    lines: list[QuotedLine]
    total: int


@post(
    "/quotes",
    operation_id="quote",
    summary="What an order would cost",
    opt=OWN,
    status_code=200,
    responses=problems(*BODY, 401, 403, 404),
)
async def quote(request: ShopRequest, data: JSONBody[QuoteRequest]) -> Quote:
    """Today's prices and discounts, ready to be ordered as they are. Nothing is reserved or promised."""
    if data.best_coupons or any(line.user_coupon_ids for line in data.lines):
        lines = await _with_coupons(request.rpc, request.user.id, data)
    else:
        lines = _plain(data, await _prices(request.rpc, data))
    total = sum(line.quantity * line.discounted_price for line in lines)
    if total > MOST_TOTAL:
        raise RuleBroken(f"The total is {total}; at most {MOST_TOTAL} can be ordered at once.")
    return Quote(lines=lines, total=total)


async def _prices(rpc: Rpc, data: QuoteRequest) -> dict[int, int]:
    """Today's price of every item. Raises `NotFound`, naming the lines of items that are not on sale."""
    page = await rpc.call(GetItems(ids=sorted({line.item_id for line in data.lines})))
    prices = {item.id: item.price for item in page.items}
    missing = [
        FieldError(f"lines[{number}].item_id", f"there is no item {line.item_id}")
        for number, line in enumerate(data.lines)
        if line.item_id not in prices
    ]
    if missing:
        raise NotFound("Some of these items are not on sale.", errors=missing[:50])
    return prices


def _plain(data: QuoteRequest, prices: dict[int, int]) -> list[QuotedLine]:
    return [
        QuotedLine(
            item_id=line.item_id,
            quantity=line.quantity,
            unit_price=prices[line.item_id],
            discounted_price=prices[line.item_id],
            user_coupon_ids=[],
        )
        for line in data.lines
    ]


async def _with_coupons(rpc: Rpc, buyer_id: int, data: QuoteRequest) -> list[QuotedLine]:
    """Ask both services at once; coupon reckons with the prices it knows, and item says whether they hold.

    Where they do not (a price changed a moment ago, an item is new), coupon is asked again with those that
    do; so also where it refuses, as it may be a wrong price that fell below a floor.
    """
    prices, quoted = await asyncio.gather(
        _prices(rpc, data), rpc.call(_to_coupon(buyer_id, data)), return_exceptions=True
    )
    if isinstance(prices, BaseException):
        raise prices
    if isinstance(quoted, BaseException) and not isinstance(quoted, RuleBroken):
        raise quoted
    lines = quoted.lines if isinstance(quoted, Quoted) else []
    if lines and all(line.unit_price == prices[line.item_id] for line in lines):
        return lines
    return (await rpc.call(_to_coupon(buyer_id, data, prices))).lines


def _to_coupon(buyer_id: int, data: QuoteRequest, prices: dict[int, int] | None = None) -> GetQuote:
    lines = [
        CouponLine(
            item_id=line.item_id,
            quantity=line.quantity,
            user_coupon_ids=line.user_coupon_ids,
            unit_price=None if prices is None else prices[line.item_id],
        )
        for line in data.lines
    ]
    return GetQuote(buyer_id=buyer_id, lines=lines, best_coupons=data.best_coupons)


routes = [quote]
