"""Cards: the PG is asked between units of work, never inside one, and what it says is written down after.

Who asks may die, and an answer may get lost: a payment stays ASKING (or RELEASING) until the PG has said what
became of it, and `reconcile` asks about every such payment, on every replica.
"""

import asyncio
from datetime import timedelta

from order_svc.contracts import CancelOrder
from payment_svc import domain, payments, toss
from payment_svc.domain import Payment, State
from payment_svc.pg import Card, Finding, NoAnswer, PaymentGateway, Report
from payment_svc.settings import PaymentSettings
from shared.clock import utc_now
from shared.context import traceparent, working_on
from shared.database import Database
from shared.errors import Conflict, NotFound, Problem, describe
from shared.logs import log
from shared.rpc import Rpc
from shared.transaction import Transaction

AT_ONCE = 20
LONGEST_PAUSE_S = 30.0
LEASE_S = 30.0
"""While one asks, nobody else does; longer than the slowest question with all its tries."""
UNANSWERED = Report(Finding.REFUSED, "NO_ANSWER", "The card's issuer did not answer.")


async def reconcile(db: Database, rpc: Rpc, settings: PaymentSettings) -> None:
    """Ask the PG about every payment whose outcome is not known, or that has to be undone there."""
    while due := await db.transaction(lambda tx: payments.take_due(tx, lease_s=LEASE_S, limit=AT_ONCE)):
        pg = toss.gateway(settings)
        await asyncio.gather(*(_settle_alone(db, rpc, pg, payment, settings) for payment in due))


async def settle(db: Database, pg: PaymentGateway, payment: Payment, settings: PaymentSettings) -> None:
    """Ask the PG about one payment and write down what it says; without an answer, see to it later."""
    try:
        report = await _ask(db, pg, payment, settings)
    except NoAnswer as silence:
        log.info("payment.unknown", payment_id=str(payment.payment_id), **describe(silence))
        report = Report(Finding.NOTHING)
    await db.transaction(lambda tx: write_down(tx, payment, report, settings))


async def write_down(tx: Transaction, asked: Payment, report: Report, settings: PaymentSettings) -> None:
    """What the PG said about a payment as it was when it was asked; it may have moved on meanwhile."""
    [payment] = await payments.lock(tx, [asked.payment_id])
    if payment.state is State.RELEASING and asked.state is not State.RELEASING:
        return  # to be asked anew, to undo it: what was said before means nothing for that
    state = domain.found(payment, report.finding)
    if state is None:
        if payment.state in (State.ASKING, State.RELEASING):
            pause = min(settings.pg_ask_again_s * 2 ** min(payment.asks, 10), LONGEST_PAUSE_S)
            await payments.ask_at(tx, payment.payment_id, tx.now + timedelta(seconds=pause))
        return
    if report.finding is Finding.REFUSED or state is State.REJECTED:
        await payments.refuse(tx, payment, state, report.details())
    else:
        await payments.move(tx, [payment], state)
    [payment] = await payments.lock(tx, [asked.payment_id])
    answer = domain.acknowledgement(payment) if state is State.RELEASED else domain.verdict(payment)
    if answer is not None:
        tx.emit(answer)


async def _settle_alone(
    db: Database, rpc: Rpc, pg: PaymentGateway, payment: Payment, settings: PaymentSettings
) -> None:
    """One that fails must not keep the others from being settled; it is asked about again after its lease."""
    with working_on(str(payment.order_id), traceparent()):
        try:
            if payment.state is State.HELD:
                await _check(db, rpc, pg, payment)
            else:
                await settle(db, pg, payment, settings)
        except Problem as problem:
            log.warning("payment.not_settled", payment_id=str(payment.payment_id), **describe(problem))


async def _ask(db: Database, pg: PaymentGateway, payment: Payment, settings: PaymentSettings) -> Report:
    card = _card(payment)
    if payment.state is State.RELEASING:
        return await _undo(pg, card, payment, settings, "the order is not fulfilled")
    if payment.asks or payment.asked_at:
        report = await pg.look_up(payment.payment_id)
        if report.finding is not Finding.NOTHING:
            return report
    if _is_over(payment, settings):
        report = await _undo(pg, card, payment, settings, "no answer in time")
        return report if report.finding is Finding.NOTHING else UNANSWERED
    if not await db.transaction(lambda tx: payments.charging(tx, payment)):
        return Report(Finding.NOTHING)  # released meanwhile
    return await pg.charge(card)


async def _undo(
    pg: PaymentGateway, card: Card, payment: Payment, settings: PaymentSettings, why: str
) -> Report:
    """Cancel a payment. What the PG never heard of counts as refused once no try can be on its way."""
    report = await pg.cancel(card, why)
    if report.finding is Finding.NOTHING:
        quiet = timedelta(seconds=settings.pg_patience_s)
        if payment.asked_at is None or utc_now() > payment.asked_at + quiet:
            return Report(Finding.REFUSED)
    return report


async def _check(db: Database, rpc: Rpc, pg: PaymentGateway, payment: Payment) -> None:
    """Somebody cancelled a charge at the PG itself: an order must not stand without its money."""
    try:
        report = await pg.look_up(payment.payment_id)
    except NoAnswer:
        return  # asked again when the lease is over
    if report.finding is Finding.CANCELLED:
        await call_off(rpc, payment)
    await db.transaction(lambda tx: payments.ask_at(tx, payment.payment_id, None))


async def call_off(rpc: Rpc, payment: Payment) -> None:
    """Have the order of a payment cancelled, which gives the payment back in turn."""
    try:
        await rpc.call(CancelOrder(order_id=payment.order_id, by="admin"))
    except (Conflict, NotFound) as problem:  # failed by itself: everything is being given back already
        log.info("payment.order_not_cancelled", order_id=str(payment.order_id), **describe(problem))


def _is_over(payment: Payment, settings: PaymentSettings) -> bool:
    created_at = payment.created_at
    return created_at is not None and utc_now() > created_at + timedelta(seconds=settings.pg_patience_s)


def _card(payment: Payment) -> Card:
    return Card(payment.payment_id, payment.card_key or "", payment.amount or 0)
