"""A scenario of abuse: requests that nobody means well with are told what is wrong, and change nothing."""

from typing import Any

from ops.demo.scenario import Record, Scenario
from ops.demo.stage import FIXED, SHIRT_PRICE, Stage
from ops.shop import Refused, Session

NOBODY = "00000000-0000-4000-8000-000000000000"


async def abused(stage: Stage, record: Record) -> None:
    """What a hostile buyer sends, one after the other; each must be refused in its own way."""
    victim, thief, item = await stage.buyer(), await stage.buyer(points=1), await stage.shirt()
    [coupon] = await stage.coupons(victim, FIXED)

    def lines(count: int = 1, **changes: Any) -> dict[str, Any]:
        return {"lines": [{"item_id": item, "quantity": 1, "unit_price": SHIRT_PRICE} | changes] * count}

    tries: list[tuple[int, str, str, object]] = [
        (400, "POST", "/orders", lines(quantity="1")),
        (422, "POST", "/orders", lines(quantity=-1)),
        (422, "POST", "/orders", lines(quantity=2**63)),
        (422, "POST", "/orders", lines(10_000)),
        (422, "POST", "/orders", lines(unit_price=SHIRT_PRICE, discounted_price=1)),
        (
            404,
            "POST",
            "/quotes",
            {"lines": [{"item_id": item, "quantity": 1, "user_coupon_ids": [coupon.id]}]},
        ),
        (404, "GET", f"/orders/{NOBODY}", None),
        (404, "POST", "/payments", {"order_id": NOBODY, "method": "points"}),
        (403, "POST", "/items", {"name": "Mine", "size": "-", "price": 1, "stock_quantity": 1}),
        (403, "POST", f"/coupons/{FIXED}/grants", {"user_ids": [1]}),
        (422, "POST", "/points/charge", {"amount": -1}),
        (422, "POST", "/points/charge", {"amount": 2**62}),
        (422, "POST", "/payments/intents", {"amount": 0}),
        (403, "POST", f"/payments/{NOBODY}/refund", None),
        (403, "POST", "/users/2/points", {"delta": 10**9, "reason": "mine"}),
        (403, "POST", f"/ops/payments/{NOBODY}/resolve", {"as": "returned", "reason": "mine"}),
    ]
    with record.step(f"{len(tries)} tries"):
        for status, method, path, body in tries:
            answered = await _status(thief, method, path, body)
            record.check(answered == status, f"{method} {path} answers {answered}, not {status}")
    record.check(await stage.stock(item) == 10, "the stock changed")
    record.check(await thief.balance() == 1, "the points changed")
    record.check([one.used for one in await victim.coupons()] == [False], "the coupon was used")
    record.ended("refused")


async def _status(session: Session, method: str, path: str, body: object) -> int:
    try:
        return (await session.send(method, path, body=body)).status_code
    except Refused as refusal:
        return refusal.status


HOSTILE = (Scenario("hostile requests", ("refused",), (), abused),)
