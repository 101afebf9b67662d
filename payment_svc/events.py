"""What payment hears, in its own words, and what it does about it."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from payment_svc import domain
from payment_svc.contracts import Method
from payment_svc.domain import Ask, Intent, Payment
from payment_svc.settings import PaymentSettings
from payment_svc.store import accounts, intents, payments
from shared.database import Rows, Through, Transaction
from shared.errors import NotFound
from shared.ids import new_id
from shared.messages import View

PATIENCE = timedelta(seconds=30)
"""A release that comes again has the PG asked within this time, whatever had been put off."""


class OrderPlaced(View, of="order.placed"):
    """An order was accepted; payment is concerned if it is among the participants."""

    order_id: UUID
    buyer_id: int
    total: int
    pay_with: Method | None
    payment_id: UUID | None
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


def rows_of_order(order: OrderPlaced) -> list[Rows]:
    """What taking an order's points locks, or noting its card."""
    if "payment" not in order.participants:
        return []
    numbers = [order.payment_id] if order.payment_id else []
    payers = [order.buyer_id] if domain.uses_points(order.pay_with) else []
    return [
        Rows("payments", "order_id", [order.order_id]),
        Rows("payment_intents", "payment_id", numbers),
        Rows("accounts", "user_id", payers),
    ]


def rows_of_release(release: ReleasePayment) -> list[Rows]:
    """What giving back an order's payment locks."""
    return [
        Rows("payments", "order_id", [release.order_id]),
        Rows("accounts", "user_id", [release.order_id], Through("payments", "order_id", "user_id")),
    ]


def rows_of_rejected(rejected: ConfirmationRejected) -> list[Rows]:
    """What giving back a payment locks."""
    return [
        Rows("payments", "payment_id", [rejected.payment_id]),
        Rows("accounts", "user_id", [rejected.payment_id], Through("payments", "payment_id", "user_id")),
    ]


async def capture(orders: list[OrderPlaced], tx: Transaction, settings: PaymentSettings) -> None:
    """Take the points of every order that can be paid; say no, with the reason, to the others.

    Cards are only noted: the PG is asked when this has been committed (see `cards.py`).
    """
    concerned = {order.order_id: order for order in orders if "payment" in order.participants}
    known = await payments.lock_latest(tx, concerned)
    fresh = [order for order in concerned.values() if order.order_id not in known]
    numbers = await intents.lock(tx, (order.payment_id for order in fresh if order.payment_id))
    asks = _asks(fresh, numbers, tx.now, settings)
    asks = domain.each_key_once(asks, await payments.lock_keys(tx, (ask.card_key for ask in asks)))
    payers = (ask.user_id for ask in asks if domain.uses_points(ask.method))
    balances = await accounts.lock_balances(tx, payers)
    decided, movements = domain.decide(asks, balances, ask_at=tx.now)
    await payments.add(tx, decided)
    await intents.use(tx, (payment.payment_id for payment in decided if payment.payment_id in numbers))
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
    _acknowledge(tx, tombstones)


async def refund_rejected(rejected: list[ConfirmationRejected], tx: Transaction) -> None:
    """Give back the payments that their orders do not take.

    Raises `NotFound` for a payment that is not known (yet), so that it is looked for again.
    """
    known = await payments.lock(tx, (one.payment_id for one in rejected))
    if missing := {one.payment_id for one in rejected} - {payment.payment_id for payment in known}:
        raise NotFound(f"There is no payment {', '.join(map(str, sorted(missing)))} (yet).")
    await give_back(tx, known)


async def give_back(tx: Transaction, known: Sequence[Payment]) -> None:
    """Give back what these payments, held by the transaction, hold; acknowledge those that hold nothing."""
    holding = [payment for payment in known if domain.holds_points(payment)]
    balances = await accounts.lock_balances(tx, (one.user_id for one in holding if one.user_id))
    await accounts.apply(tx, "refund", domain.give_back(holding, balances))
    after = {one.payment_id: domain.after_release(one, tx.now, patience=PATIENCE) for one in known}
    await payments.save(tx, [moved for moved in after.values() if moved is not None])
    _acknowledge(tx, [after[one.payment_id] or one for one in known])


def _acknowledge(tx: Transaction, released: Sequence[Payment]) -> None:
    for payment in released:
        answer = domain.acknowledgement(payment)
        if answer is not None:
            tx.emit(answer)


def _asks(
    orders: Sequence[OrderPlaced], numbers: Mapping[UUID, Intent], now: datetime, settings: PaymentSettings
) -> list[Ask]:
    """What orders ask of payment: under a buyer's number where that is good, otherwise under a new one."""
    asks: list[Ask] = []
    taken: set[UUID] = set()
    for order in orders:
        payment_id, given, refusal = order.payment_id, None, None
        if payment_id is not None:
            intent = numbers.get(payment_id)
            refusal = domain.number_used() if payment_id in taken else None
            refusal = refusal or domain.refusal_of_intent(
                intent, user_id=order.buyer_id, order_id=order.order_id, amount=order.total, now=now
            )
            given = intent.card_key if intent and refusal is None else None
        if payment_id is None or refusal is not None:
            payment_id = new_id()
        taken.add(payment_id)
        asks.append(
            Ask(
                order_id=order.order_id,
                payment_id=payment_id,
                user_id=order.buyer_id,
                method=order.pay_with,
                amount=order.total,
                card_key=domain.card_key(order.pay_with, given, settings.pg_test_key, payment_id),
                refusal=refusal,
            )
        )
    return asks


async def close_account(failed: UserRegistrationFailed, tx: Transaction) -> None:
    """The user never comes to life: close its account, or keep a late request from opening it."""
    await accounts.close_account(tx, failed.user_id)
