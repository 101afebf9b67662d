"""What payment hears, in its own words, and what it does about it."""

from uuid import UUID

from payment_svc import accounts, claims, domain
from payment_svc.domain import Ask
from shared.database import Transaction
from shared.ids import new_id
from shared.messages import View


class OrderPlaced(View, of="order.placed"):
    """An order was accepted; payment is concerned if it is among the participants."""

    order_id: UUID
    buyer_id: int
    total: int
    pay_with: str | None
    participants: list[str]


class ReleasePayment(View, of="order.release.payment"):
    """An order will not be fulfilled: what was taken for it goes back."""

    order_id: UUID


class UserRegistrationFailed(View, of="user.registration_failed"):
    """A sign-up was undone."""

    user_id: int


async def capture_points(orders: list[OrderPlaced], tx: Transaction) -> None:
    """Take the points of every order that can be paid; say no, with the reason, to the others."""
    concerned = {order.order_id: order for order in orders if "payment" in order.participants}
    known = await claims.lock_claims(tx, concerned)
    asks = [
        Ask(
            order_id=order.order_id,
            payment_id=new_id(),
            user_id=order.buyer_id,
            method=order.pay_with or "nothing",
            amount=order.total,
        )
        for order in concerned.values()
        if order.order_id not in known
    ]
    balances = await accounts.lock_balances(tx, (ask.user_id for ask in asks))
    decided, movements = domain.decide(asks, balances)
    await claims.add_claims(tx, decided)
    await accounts.apply(tx, "capture", movements)
    for claim in (*known.values(), *decided):
        tx.emit(domain.verdict(claim))


async def refund(releases: list[ReleasePayment], tx: Transaction) -> None:
    """Give back what these orders' claims hold, remember those never heard of, and acknowledge every one."""
    wanted = {release.order_id for release in releases}
    known = await claims.lock_claims(tx, wanted)
    holding = [claim for claim in known.values() if claim.state == "HELD"]
    balances = await accounts.lock_balances(tx, (claim.user_id for claim in holding if claim.user_id))
    await accounts.apply(tx, "refund", domain.give_back(holding, balances))
    await claims.mark_released(tx, known.values())
    tombstones = [domain.tombstone(order_id, new_id()) for order_id in sorted(wanted - known.keys())]
    await claims.add_claims(tx, tombstones)
    for claim in (*known.values(), *tombstones):
        tx.emit(domain.acknowledgement(claim))


async def close_account(failed: UserRegistrationFailed, tx: Transaction) -> None:
    """The user never comes to life: close its account, or keep a late request from opening it."""
    await accounts.close_account(tx, failed.user_id)
