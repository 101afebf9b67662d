"""Cards: the PG is asked between units of work, never inside one, and what it says is written down after.

Who asks may die, and an answer may get lost: a payment stays ASKING (or RELEASING) until the PG has said what
became of it, and `reconcile` asks about every such payment, on every replica.
"""

import asyncio
from collections import Counter
from datetime import timedelta
from uuid import UUID

from msgspec.structs import replace

from order_svc.contracts import CancelOrder
from payment_svc import domain, pgs, settling
from payment_svc.domain import Payment, State
from payment_svc.pgs import Card, Finding, NoAnswer, PaymentGateway, Report
from payment_svc.settings import PaymentSettings
from payment_svc.settling import Listed
from payment_svc.store import accounts, payments
from shared.clock import utc_now
from shared.context import traceparent, working_on
from shared.database import Database, Transaction
from shared.errors import Conflict, NotFound, Problem, describe
from shared.logs import log
from shared.rpc import Rpc

AT_ONCE = 200
"""So many payments are asked about at once. A card that hangs costs its place for a few seconds."""
AGAIN_AT_ONCE = 100
"""At most so many of these were asked about before, so that new ones always find a place."""
SAME_QUESTION = 6
"""A refund in part is asked for so often under one idempotency key: by the pauses, for about a minute."""
POLL_S = 0.2
CATCH_UP_S = 60.0
CATCH_UP_AT_ONCE = 500
LOOK_BACK = timedelta(minutes=10)
"""How much of the PG's list is read: readings overlap, for clocks that differ and lines that come late."""


async def reconcile(db: Database, rpc: Rpc, settings: PaymentSettings) -> None:
    """Ask the PG about every payment whose outcome is not known, or that has to be undone there.

    Each is asked about by itself and gives its place to the next when it is done: none waits for the slowest.
    """
    busy: dict[asyncio.Task[None], bool] = {}
    """What is being asked, and whether it had been asked before."""
    try:
        while True:
            free, again = AT_ONCE - len(busy), AGAIN_AT_ONCE - Counter(busy.values())[True]
            for payment in await _due(db, settings, limit=free, again=again):
                task = asyncio.create_task(_settle_alone(db, rpc, payment, settings))
                busy[task] = payment.asks > 1
            if not busy:
                return
            done, _ = await asyncio.wait(busy, timeout=POLL_S, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                del busy[task]
    finally:
        for task in busy:
            task.cancel()
        await asyncio.gather(*busy, return_exceptions=True)


async def settle(
    db: Database, rpc: Rpc, pg: PaymentGateway, payment: Payment, settings: PaymentSettings
) -> None:
    """Ask the PG about one payment and write down what it says; without an answer, see to it later."""
    try:
        report = await _ask(db, pg, payment, settings)
    except NoAnswer as silence:
        log.info("payment.unknown", payment_id=str(payment.payment_id), **describe(silence))
        report = Report(Finding.UNKNOWN)
    if report.finding is Finding.CANCELLED and payment.state in (State.HELD, State.NEEDS_ATTENTION):
        # Somebody cancelled it at the PG itself: an order must not stand without its money.
        await call_off(rpc, payment)
    await db.transaction(lambda tx: write_down(tx, payment, report, settings))


async def write_down(tx: Transaction, asked: Payment, report: Report, settings: PaymentSettings) -> None:
    """What the PG said about a payment as it was when it was asked.

    If it has moved on meanwhile, or somebody else asks about it by now, what was said means nothing any more:
    whoever moved it has written down when to ask next, and that must not be lost.
    """
    [payment] = await payments.lock(tx, [asked.payment_id])
    if _question(payment) != _question(asked):
        return
    rules = settling.Rules(
        patience_s=settings.pg_patience_s,
        ask_again_s=settings.pg_ask_again_s,
        confirm_window_s=pgs.adapter(settings).confirm_window_s,
    )
    after = settling.settled(payment, report, tx.now, rules)
    if after.state is not payment.state or after.refunded != payment.refunded:
        log.info(
            "payment.moved", payment_id=str(after.payment_id), state=after.state, refunded=after.refunded
        )
    await change(tx, payment, after)


async def change(tx: Transaction, before: Payment, after: Payment) -> Payment:
    """Write down how a payment (held by the transaction) moved, what that does to points, and tell of it."""
    if after.order_id is None and after.user_id is not None:
        after = await _change_points(tx, before, after, after.user_id)
    await payments.save(tx, [after])
    for event in settling.news(before, after, tx.now):
        tx.emit(event)
    return after


async def call_off(rpc: Rpc, payment: Payment) -> None:
    """Have the order of a payment cancelled, which gives the payment back in turn."""
    if payment.order_id is None:
        return
    try:
        await rpc.call(CancelOrder(order_id=payment.order_id, by="admin"))
    except (Conflict, NotFound) as problem:  # failed by itself: everything is being given back already
        log.info("payment.order_not_cancelled", order_id=str(payment.order_id), **describe(problem))


async def catch_up(db: Database, settings: PaymentSettings) -> None:
    """Read the PG's own list of transactions, and ask about the payments that it tells something new of.

    It finds what no notice told: a charge that arrived after it was given up, a cancellation at the PG.
    A shop that is paid with points alone does without, and without the PG's client.
    """
    if not await db.read(payments.any_by_card):
        return
    pg = pgs.adapter(settings)
    until = utc_now()
    listed: dict[UUID, Listed] = {}
    try:
        async for entry in pg.transactions(until - LOOK_BACK, until):
            payment_id = domain.number(entry.number)
            if payment_id is not None:
                listed[payment_id] = listed.get(payment_id, Listed()).with_entry(entry)
    except NoAnswer as silence:
        log.info("payment.list_unknown", **describe(silence))
        return
    numbers = list(listed)
    for start in range(0, len(numbers), CATCH_UP_AT_ONCE):
        chunk = numbers[start : start + CATCH_UP_AT_ONCE]
        for payment in await db.read(lambda reader, chunk=chunk: payments.of_numbers(reader, chunk)):
            if not settling.is_listed(payment, listed[payment.payment_id]):
                await _ask_soon(db, payment.payment_id, listed[payment.payment_id])


async def _ask_soon(db: Database, payment_id: UUID, listed: Listed) -> None:
    def is_known(payment: Payment) -> bool:
        return settling.is_listed(payment, listed)

    await db.transaction(lambda tx: payments.hint(tx, payment_id, unless=is_known, paced=False))


async def _due(db: Database, settings: PaymentSettings, *, limit: int, again: int) -> list[Payment]:
    if limit <= 0:
        return []
    return await db.transaction(
        lambda tx: payments.take_due(tx, lease_s=settings.pg_lease_s, limit=limit, first=again)
    )


async def _settle_alone(db: Database, rpc: Rpc, payment: Payment, settings: PaymentSettings) -> None:
    """One that fails must not keep the others from being settled; it is asked about again after its lease."""
    with working_on(str(payment.order_id or payment.payment_id), traceparent()):
        try:
            await settle(db, rpc, pgs.adapter(settings), payment, settings)
        except Exception as error:  # whatever is wrong with this one, the lease has it tried again
            level = log.warning if isinstance(error, Problem) else log.error
            level("payment.not_settled", payment_id=str(payment.payment_id), **describe(error))


async def _ask(db: Database, pg: PaymentGateway, payment: Payment, settings: PaymentSettings) -> Report:
    """What the PG says, after it was asked to do what the payment's state wants done.

    A charge is cancelled only after a look-up by our number found it to be ours: a key may name another's.
    """
    card = Card(payment.payment_id, payment.card_key or "", payment.amount or 0)
    found = Report(Finding.NOTHING)
    if payment.state is not State.ASKING or payment.asked_at is not None:
        found = await pg.look_up(card)
    match payment.state, found.finding:
        case State.ASKING, Finding.NOTHING if not _is_over(payment, settings):
            if not await db.transaction(lambda tx: payments.charging(tx, payment)):
                return Report(Finding.UNKNOWN)  # released meanwhile
            return await pg.charge(card, attempt=payment.asks)
        case State.RELEASING, Finding.CHARGED:
            attempt = f"{payment.payment_id}-{found.returned}-{payment.asks}"
            return await pg.cancel(card, "The order is not fulfilled.", attempt=attempt)
        case State.HELD, Finding.CHARGED if payment.refunding:
            # The same question is done once. But an error that passes is answered to it for ever as well, so
            # it is asked anew when no try can be on its way, unless what it was about has been given back.
            anew = payment.asks // SAME_QUESTION
            if anew and found.returned >= payment.refunded + payment.refunding:
                return found
            attempt = f"part-{payment.refund_id}-{anew}"
            done = await pg.cancel(card, "Refund in part.", attempt=attempt, amount=payment.refunding)
            # A repeated answer may be older than what was looked up just now.
            return done._replace(returned=max(done.returned, found.returned))
        case _:
            return found


async def _change_points(tx: Transaction, before: Payment, after: Payment, user_id: int) -> Payment:
    """Points that were bought come with their charge, and go as far as they are there when it goes back."""
    bought = before.state is not State.HELD and after.state is State.HELD
    if not bought and after.refunded <= before.refunded:
        return after
    balance = (await accounts.lock_balances(tx, [user_id])).get(user_id, 0)
    credited = await accounts.credited(tx, user_id, after.payment_id)
    if bought and credited is None:  # a person may have found that what had brought them is held for sure
        credited = amount = after.amount or 0
        balance += amount
        await accounts.apply(
            tx,
            "charge",
            [
                domain.Movement(
                    user_id=user_id,
                    delta=amount,
                    balance=balance,
                    order_id=None,
                    payment_id=after.payment_id,
                )
            ],
        )
        before = replace(before, refunded=0)
    after, movement = settling.reversal(before, after, balance, credited=credited or 0)
    if movement is not None:
        await accounts.apply(tx, "reversal", [movement])
    return after


def _question(payment: Payment) -> tuple[object, ...]:
    """What tells one question about a payment from another."""
    return (payment.state, payment.asks, payment.refund_id, payment.refunded)


def _is_over(payment: Payment, settings: PaymentSettings) -> bool:
    created_at = payment.created_at
    return created_at is not None and utc_now() > created_at + timedelta(seconds=settings.pg_patience_s)
