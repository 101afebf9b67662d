"""What payment hears, in its own words, and what it does about it."""

from collections.abc import Sequence
from uuid import UUID

from payment_svc import accounts, domain, payments
from payment_svc.domain import Ask, Payment, State
from payment_svc.settings import PaymentSettings
from shared.ids import new_id
from shared.messages import View
from shared.transaction import Transaction


class OrderPlaced(View, of="order.placed"):
    """An order was accepted; payment is concerned if it is among the participants."""

    order_id: UUID
    buyer_id: int
    total: int
    pay_with: str | None
    payment_key: str | None
    participants: list[str]


class ReleasePayment(View, of="order.release.payment"):
    """An order will not be fulfilled: what was taken for it goes back."""

    order_id: UUID


class ConfirmationRejected(View, of="order.confirmation_rejected"):
    """The order does not take this payment: it goes back."""

    payment_id: UUID


class UserRegistrationFailed(View, of="user.registration_failed"):
    """A sign-up was undone."""

    user_id: int


async def capture(orders: list[OrderPlaced], tx: Transaction, settings: PaymentSettings) -> None:
    """Take the points of every order that can be paid; say no, with the reason, to the others.

    Cards are only noted: the PG is asked when this has been committed (see `cards.py`).
    """
    concerned = {order.order_id: order for order in orders if "payment" in order.participants}
    known = await payments.lock_latest(tx, concerned)
    asks = [_ask(order, settings) for order in concerned.values() if order.order_id not in known]
    balances = await accounts.lock_balances(tx, (ask.user_id for ask in asks if ask.method == "points"))
    decided, movements = domain.decide(asks, balances)
    await payments.add(tx, decided)
    await accounts.apply(tx, "capture", movements)
    for payment in (*known.values(), *decided):
        answer = domain.verdict(payment)
        if answer is not None:
            tx.emit(answer)


async def release(releases: list[ReleasePayment], tx: Transaction) -> None:
    """Give back what these orders' payments hold, remember those never heard of, and acknowledge every one.

    Where a card may be charged the acknowledgement comes once the PG has confirmed that it is not.
    """
    wanted = {release.order_id for release in releases}
    known = await payments.lock_latest(tx, wanted)
    await give_back(tx, list(known.values()))
    tombstones = [domain.tombstone(order_id, new_id()) for order_id in sorted(wanted - known.keys())]
    await payments.add(tx, tombstones)
    for stone in tombstones:
        tx.emit(domain.acknowledgement(stone))


async def refund_rejected(rejected: list[ConfirmationRejected], tx: Transaction) -> None:
    """Give back the payments that their orders do not take."""
    await give_back(tx, await payments.lock(tx, (one.payment_id for one in rejected)))


async def give_back(tx: Transaction, known: Sequence[Payment]) -> None:
    """Give back what these payments, held by the transaction, hold; acknowledge those that hold nothing."""
    holding = [payment for payment in known if domain.holds_points(payment)]
    balances = await accounts.lock_balances(tx, (one.user_id for one in holding if one.user_id))
    await accounts.apply(tx, "refund", domain.give_back(holding, balances))
    at_the_pg = [one for one in known if domain.after_release(one) is State.RELEASING]
    done = [one for one in known if domain.after_release(one) is State.RELEASED]
    await payments.move(tx, at_the_pg, State.RELEASING, ask_due_at=tx.now)
    await payments.move(tx, done, State.RELEASED)
    for payment in done:
        tx.emit(domain.acknowledgement(payment))


def _ask(order: OrderPlaced, settings: PaymentSettings) -> Ask:
    payment_id = new_id()
    return Ask(
        order_id=order.order_id,
        payment_id=payment_id,
        user_id=order.buyer_id,
        method=order.pay_with or "nothing",
        amount=order.total,
        card_key=domain.card_key(order.pay_with, order.payment_key, settings.pg_test_key, payment_id),
    )


async def close_account(failed: UserRegistrationFailed, tx: Transaction) -> None:
    """The user never comes to life: close its account, or keep a late request from opening it."""
    await accounts.close_account(tx, failed.user_id)
