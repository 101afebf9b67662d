"""Scenarios of accounts: a changed password, a stolen refresh token, and what a buyer is told."""

import asyncio
import secrets

import msgspec

from ops.demo.everyday import order
from ops.demo.scenario import Record, Scenario
from ops.demo.stage import Stage, shirts
from ops.shop import Refused, Session, Shop, Tokens


class _Notification(msgspec.Struct):
    id: int
    kind: str
    order_id: str
    read_at: str | None


class _Notifications(msgspec.Struct):
    items: list[_Notification]


async def told(buyer: Session) -> list[_Notification]:
    """What a buyer has been told, newest first."""
    answer = await buyer.send("GET", "/users/me/notifications")
    return msgspec.json.decode(answer.content, type=_Notifications).items


async def told_of(buyer: Session, kind: str) -> _Notification | None:
    """What a buyer has been told of this kind, as soon as it is: notifications follow the order's end."""
    for _ in range(100):
        if found := next((one for one in await told(buyer) if one.kind == kind), None):
            return found
        await asyncio.sleep(0.1)
    return None


async def new_password(stage: Stage, record: Record) -> None:
    """Changing the password ends the sign-ins made with the old one."""
    email, old, new = f"demo-{stage.new_key()}@demo.local", *(secrets.token_urlsafe(12) for _ in range(2))
    await stage.shop.register(email, "Demo buyer", old)
    buyer = await stage.shop.sign_in(email, old)
    before = await buyer.renew()
    body = {"password": new, "current_password": old}
    with record.step("change"):
        await buyer.send("PATCH", "/users/me", body=body)
    record.check(await _refresh(stage.shop, before) == 401, "the old refresh token still counts")
    with record.step("sign in"):
        session = await stage.shop.sign_in(email, new)
    record.check(await session.balance() == 0, "the new sign-in does not count")
    record.ended("changed")


async def stolen_token(stage: Stage, record: Record) -> None:
    """A refresh token may be repeated at once; one that is older ends the sign-in for both its holders."""
    buyer = await stage.buyer()
    first = await buyer.renew()
    with record.step("refresh"):
        second = await buyer.renew(first)
    record.check(await _refresh(stage.shop, first) == 200, "a refresh whose answer was lost is refused")
    third = await buyer.renew(second)
    record.check(await _refresh(stage.shop, first) == 401, "an old refresh token works again")
    record.check(await _refresh(stage.shop, third) == 401, "the thief's, or the owner's, still works")
    record.ended("401")


async def told_of_failure(stage: Stage, record: Record) -> None:
    """An order that was accepted and fails leaves a notification, which can be marked as read."""
    buyer, item = await stage.buyer(), await stage.shirt(stock=0)
    failed = await order(record, buyer, shirts(item))
    with record.step("notify"):
        found = await told_of(buyer, "order_failed")
    record.check(found is not None and found.order_id == failed.id, "the buyer was not told")
    if found is not None:
        await buyer.send("POST", f"/users/me/notifications/{found.id}/read")
        record.check(all(one.read_at for one in await told(buyer)), "it is not marked as read")


async def told_of_refund(stage: Stage, record: Record) -> None:
    """A paid order that is cancelled: told of both the cancellation and the refund, of each once."""
    buyer, item = await stage.buyer(points=100_000), await stage.shirt()
    paid = await order(record, buyer, shirts(item), pay_with="points")
    await buyer.cancel(paid.id)
    record.ended(await buyer.until(paid.id, lambda seen: seen.settled and seen.status != "COMPLETED"))
    with record.step("notify"):
        await told_of(buyer, "order_cancelled")
        await told_of(buyer, "payment_refunded")
    kinds = sorted(one.kind for one in await told(buyer))
    record.check(kinds == ["order_cancelled", "payment_refunded"], f"the buyer was told {kinds}")


async def _refresh(shop: Shop, tokens: Tokens) -> int:
    """The status that refreshing answers."""
    try:
        await shop.send("POST", "/users/refresh", body={"refresh_token": tokens.refresh_token})
    except Refused as refusal:
        return refusal.status
    return 200


ACCOUNTS = (
    Scenario("a new password", ("changed",), (), new_password),
    Scenario("a refresh token used twice", ("401",), (), stolen_token),
    Scenario("told that an order failed", ("FAIL",), ("out_of_stock",), told_of_failure),
    Scenario("told of a refund", ("COMPLETED", "CANCEL"), ("cancelled_by_buyer",), told_of_refund),
)
