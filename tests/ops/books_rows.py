"""A small shop whose books balance, as rows: what every service would have written for a few orders."""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from ops.verify.tables import (
    ACCOUNTS,
    ACTS,
    CART_LINES,
    COUPON_CLAIMS,
    COUPON_USES,
    EVENTS,
    HELD_COUPONS,
    HISTORY,
    INTENTS,
    ITEM_CLAIMS,
    ITEM_PRICES,
    ITEM_SALES,
    ITEMS,
    LEDGER,
    NOTIFICATIONS,
    ORDER_VIEWS,
    ORDERS,
    PARTICIPANTS,
    PAYMENTS,
    POLICIES,
    SALES_HOURS,
    STOCK,
    TAKINGS,
    USERS,
    Account,
    Act,
    CartLine,
    Change,
    Claim,
    CouponUse,
    HeldCoupon,
    Intent,
    Item,
    ItemPrice,
    ItemSales,
    LedgerEntry,
    Notification,
    Order,
    OrderView,
    Participant,
    Payment,
    Policy,
    SalesHour,
    StockEntry,
    StoredEvent,
    Table,
    Taking,
    User,
)
from payment_svc.pgs import Entry

Rows = dict[Table[Any], list[Any]]


def order_id(number: int) -> str:
    """The id of an order."""
    return f"00000000-0000-7000-8000-{number:012}"


def payment_id(number: int) -> str:
    """The id of a payment."""
    return f"00000000-0000-7000-9000-{number:012}"


DONE, CANCELLED, FAILED, OPEN, CARD, UNPAID, ATTENTION, KEPT, CALLED_OFF, ASKING, GIVING_BACK = map(
    order_id, range(1, 12)
)
"""Orders by what became of them."""
BOUGHT, PAID_LATER, REFUSED, STRANGER = payment_id(20), payment_id(5), payment_id(25), order_id(255)

T = datetime(2026, 1, 5, 10, tzinfo=UTC)
SOON = T + timedelta(seconds=10)
LATER = T + timedelta(minutes=1)
HOUR = datetime(2026, 1, 5, 10, tzinfo=UTC)
FUTURE = datetime(2099, 1, 1, tzinfo=UTC)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
BUYER, OTHER = 2, 3
SHIRT, SOCK = 1, 2
SHIRT_PRICE, SOCK_PRICE = 49_800, 100
SOLD = 40_080 + SHIRT_PRICE - 80 - 300
"""What is left of what was sold, after refunds in part."""


def line(item_id: int, quantity: int, unit: int, price: int, coupons: Sequence[int] = ()) -> dict[str, Any]:
    """A line of an order."""
    return {
        "item_id": item_id,
        "quantity": quantity,
        "unit_price": unit,
        "discounted_price": price,
        "user_coupon_ids": list(coupons),
    }


ONE_SHIRT = [line(SHIRT, 1, SHIRT_PRICE, SHIRT_PRICE)]
LINES = {
    DONE: [
        line(SHIRT, 1, SHIRT_PRICE, 39_780, (1, 2)),
        line(SOCK, 2, SOCK_PRICE, SOCK_PRICE),
        line(SOCK, 1, SOCK_PRICE, SOCK_PRICE),
    ],
    CANCELLED: [line(SHIRT, 1, SHIRT_PRICE, 39_780, (3,))],
    CALLED_OFF: [line(SHIRT, 1, SHIRT_PRICE, 46_800, (4,))],
}
CREATED = ("ORDER_CREATED", None, "PENDING")
STOCK_YES = ("STOCK_DEDUCTED", "item", "PENDING")
SHIRT_DONE = (CREATED, STOCK_YES, ("ORDER_COMPLETED", None, "COMPLETED"))
PAID = ("PAYMENT_COMPLETED", "payment", "COMPLETED")
CONFIRMED = ("ORDER_CONFIRMED", None, "COMPLETED")
PARTLY = ("PAYMENT_PARTLY_REFUNDED", "payment", "COMPLETED")


def _called_off(*names: str) -> list[tuple[str, str | None, str]]:
    asked = [("RELEASE_REQUESTED", name, "FAIL") for name in names]
    return [("ORDER_FAILED", None, "FAIL"), *asked]


# By order: buyer, status, reason, settled, paid, pay_with, states, history, deadline.
_SPEC: dict[str, tuple[Any, ...]] = {
    DONE: (
        BUYER,
        "COMPLETED",
        None,
        1,
        1,
        "points",
        {"item": "YES", "coupon": "YES", "payment": "YES"},
        [
            CREATED,
            STOCK_YES,
            ("COUPON_APPLIED", "coupon", "PENDING"),
            ("PAYMENT_COMPLETED", "payment", "COMPLETED"),
            ("ORDER_COMPLETED", None, "COMPLETED"),
            CONFIRMED,
            PARTLY,
        ],
        None,
    ),
    CANCELLED: (
        BUYER,
        "CANCEL",
        "coupon_invalid",
        1,
        0,
        "points",
        {"item": "RELEASED", "coupon": "NO", "payment": "RELEASED"},
        [
            CREATED,
            STOCK_YES,
            ("PAYMENT_COMPLETED", "payment", "PENDING"),
            ("COUPON_REJECTED", "coupon", "FAIL"),
            *_called_off("item", "payment"),
            ("STOCK_RESTORED", "item", "FAIL"),
            ("PAYMENT_REFUNDED", "payment", "FAIL"),
            ("ORDER_CANCELLED", None, "CANCEL"),
        ],
        None,
    ),
    FAILED: (
        BUYER,
        "FAIL",
        "out_of_stock",
        1,
        0,
        None,
        {"item": "NO"},
        [CREATED, ("STOCK_REJECTED", "item", "FAIL"), ("ORDER_FAILED", None, "FAIL")],
        None,
    ),
    OPEN: (OTHER, "PENDING", None, 0, 0, None, {"item": "AWAITING"}, [CREATED], FUTURE),
    CARD: (
        BUYER,
        "COMPLETED",
        None,
        1,
        1,
        None,
        {"item": "YES", "payment": "YES"},
        [*SHIRT_DONE, PAID, CONFIRMED, PARTLY, ("CONFIRMATION_REJECTED", "payment", "COMPLETED")],
        None,
    ),
    UNPAID: (BUYER, "COMPLETED", None, 1, 0, None, {"item": "YES"}, SHIRT_DONE, FUTURE),
    ATTENTION: (
        OTHER,
        "FAIL",
        "cancelled_by_buyer",
        0,
        1,
        "card",
        {"item": "RELEASED", "payment": "RELEASING"},
        [
            CREATED,
            STOCK_YES,
            PAID,
            ("ORDER_COMPLETED", None, "COMPLETED"),
            CONFIRMED,
            PARTLY,
            *_called_off("item", "payment"),
            ("STOCK_RESTORED", "item", "FAIL"),
        ],
        None,
    ),
    KEPT: (
        OTHER,
        "FAIL",
        "payment_kept",
        1,
        1,
        "card",
        {"item": "RELEASED", "payment": "KEPT"},
        [
            CREATED,
            STOCK_YES,
            PAID,
            ("ORDER_COMPLETED", None, "COMPLETED"),
            CONFIRMED,
            *_called_off("item", "payment"),
            ("STOCK_RESTORED", "item", "FAIL"),
            ("PAYMENT_KEPT", "payment", "FAIL"),
            ("ORDER_SETTLED", None, "FAIL"),
        ],
        None,
    ),
    CALLED_OFF: (
        OTHER,
        "CANCEL",
        "cancelled_by_admin",
        1,
        0,
        None,
        {"item": "RELEASED", "coupon": "RELEASED"},
        [
            CREATED,
            STOCK_YES,
            ("COUPON_APPLIED", "coupon", "COMPLETED"),
            ("ORDER_COMPLETED", None, "COMPLETED"),
            *_called_off("item", "coupon"),
            ("STOCK_RESTORED", "item", "FAIL"),
            ("COUPON_RESTORED", "coupon", "FAIL"),
            ("ORDER_CANCELLED", None, "CANCEL"),
        ],
        None,
    ),
    GIVING_BACK: (
        OTHER,
        "FAIL",
        "timeout",
        0,
        0,
        None,
        {"item": "RELEASING"},
        [CREATED, *_called_off("item")],
        None,
    ),
    ASKING: (
        BUYER,
        "PENDING",
        None,
        0,
        0,
        "card",
        {"item": "YES", "payment": "AWAITING"},
        [CREATED, STOCK_YES],
        FUTURE,
    ),
}


def lines_of(order: str) -> list[dict[str, Any]]:
    """The lines of an order."""
    return LINES.get(order, ONE_SHIRT)


def total_of(order: str) -> int:
    """What an order costs."""
    return sum(one["quantity"] * one["discounted_price"] for one in lines_of(order))


def _payment(number: int, order: str | None, state: str, **columns: Any) -> Payment:
    amount = total_of(order) if order else 5_000
    standing = {
        "payment_id": payment_id(number),
        "order_id": order,
        "attempt": 0,
        "state": state,
        "user_id": BUYER,
        "method": "card",
        "amount": amount,
        "refunded": 0,
        "released": 0,
        "refunding": 0,
        "reason": None,
        "resolved": None,
        "asks": 0,
        "ask_due_at": None,
        "created_at": T,
        "changed_at": T,
    }
    return Payment(**(standing | columns))


_PAYMENTS = [
    _payment(1, DONE, "HELD", method="points", refunded=80),
    _payment(2, CANCELLED, "RELEASED", method="points", refunded=39_780, released=39_780),
    _payment(5, CARD, "HELD", attempt=1, refunded=300),
    _payment(6, CARD, "RELEASED", attempt=2, refunded=SHIRT_PRICE, released=SHIRT_PRICE),
    _payment(7, ATTENTION, "NEEDS_ATTENTION", user_id=OTHER, reason="cancel_refused", refunded=800),
    _payment(8, KEPT, "KEPT", user_id=OTHER, reason="contradiction", resolved="kept"),
    _payment(10, ASKING, "ASKING", ask_due_at=FUTURE, created_at=FUTURE, changed_at=FUTURE),
    _payment(20, None, "HELD", refunded=1_000),
    _payment(25, UNPAID, "REJECTED", attempt=1, amount=None, reason="card_declined"),
]
_PAYER = {DONE: payment_id(1), CANCELLED: payment_id(2), CARD: payment_id(5)}
_PAYER |= {ATTENTION: payment_id(7), KEPT: payment_id(8)}

_LEDGER = [
    (BUYER, 1_000_000, "opening", None, None, None, None),
    (BUYER, -40_080, "capture", DONE, payment_id(1), None, None),
    (BUYER, -39_780, "capture", CANCELLED, payment_id(2), None, None),
    (OTHER, 0, "opening", None, None, None, None),
    (BUYER, 39_780, "refund", CANCELLED, payment_id(2), None, None),
    (BUYER, 80, "refund", DONE, payment_id(1), None, None),
    (BUYER, 5_000, "charge", None, BOUGHT, None, None),
    (BUYER, -1_000, "reversal", None, BOUGHT, None, None),
    (OTHER, 700, "grant", None, None, "g1", "for a late parcel"),
    (OTHER, 300, "grant", None, None, None, "from before there were grants"),
]
_STOCK = [
    (SHIRT, None, 10, "initial"),
    (SOCK, None, 5, "initial"),
    (SHIRT, None, 5, "adjustment"),
    (SHIRT, DONE, -1, "order"),
    (SOCK, DONE, -3, "order"),
    (SHIRT, CANCELLED, -1, "order"),
    (SHIRT, CANCELLED, 1, "release"),
    (SHIRT, OPEN, -1, "order"),
    (SHIRT, CARD, -1, "order"),
    (SHIRT, UNPAID, -1, "order"),
    (SHIRT, ATTENTION, -1, "order"),
    (SHIRT, ATTENTION, 1, "release"),
    (SHIRT, KEPT, -1, "order"),
    (SHIRT, KEPT, 1, "release"),
    (SHIRT, CALLED_OFF, -1, "order"),
    (SHIRT, CALLED_OFF, 1, "release"),
    (SHIRT, ASKING, -1, "order"),
    (SHIRT, GIVING_BACK, -1, "order"),
]


def _running(changes: Iterable[tuple[Any, ...]], place: int) -> list[int]:
    """The balances after changes that begin with whose they are and have a delta at a place."""
    balances: dict[int, int] = {}
    notes: list[int] = []
    for change in changes:
        balances[change[0]] = balances.get(change[0], 0) + change[place]
        notes.append(balances[change[0]])
    return notes


def sound_rows() -> Rows:
    """The whole shop."""
    rows: Rows = {
        ORDERS: [_order(order) for order in _SPEC],
        PARTICIPANTS: [
            Participant(order, name, state, _paid_by(order, name), FUTURE if state == "RELEASING" else None)
            for order, spec in _SPEC.items()
            for name, state in spec[6].items()
        ],
        HISTORY: [
            Change(order, number * 100 + place, T, *change)
            for number, (order, spec) in enumerate(_SPEC.items(), start=1)
            for place, change in enumerate(spec[7])
        ],
        ITEM_CLAIMS: [
            Claim(DONE, "HELD", None),
            Claim(CANCELLED, "RELEASED", None),
            Claim(FAILED, "REJECTED", "out_of_stock"),
            Claim(OPEN, "HELD", None),
            Claim(CARD, "HELD", None),
            Claim(UNPAID, "HELD", None),
            Claim(ATTENTION, "RELEASED", None),
            Claim(KEPT, "RELEASED", None),
            Claim(CALLED_OFF, "RELEASED", None),
            Claim(ASKING, "HELD", None),
            Claim(GIVING_BACK, "HELD", None),
        ],
        STOCK: [
            StockEntry(number, item_id, order, delta, balance, cause, SOON)
            for number, ((item_id, order, delta, cause), balance) in enumerate(
                zip(_STOCK, _running(_STOCK, 2), strict=True), start=1
            )
        ],
        TAKINGS: [
            Taking(DONE, "TAKEN", BUYER, '{"2":3}'),
            Taking(CANCELLED, "RETURNED", BUYER, '{"1":1}'),
            Taking(FAILED, "RETURNED", None, None),
            Taking(OPEN, "TAKEN", OTHER, '{"1":1}'),
            Taking(CALLED_OFF, "TAKEN", OTHER, '{"1":2}'),
        ],
        CART_LINES: [CartLine(BUYER, SHIRT, LATER), CartLine(OTHER, SOCK, T)],
        ITEMS: [
            Item(SHIRT, "Shirt", "M", SHIRT_PRICE, 9, 10, 2, 0, T),
            Item(SOCK, "Sock", "-", SOCK_PRICE, 2, 5, 1, 0, T),
            Item(3, "Cap", "-", 700, 0, 0, 2, 3, T),
            Item(4, "Hat", "-", 900, 0, 0, 7, 0, LONG_AGO),
        ],
        POLICIES: [
            Policy(1, "fixed", 3_000, 0, T - timedelta(days=1), T + timedelta(days=1)),
            Policy(2, "percentage", 15, 39_780, T - timedelta(days=1), T + timedelta(days=1)),
        ],
        HELD_COUPONS: [
            HeldCoupon(1, BUYER, 1, DONE),
            HeldCoupon(2, BUYER, 2, DONE),
            HeldCoupon(3, OTHER, 1, None),
            HeldCoupon(4, OTHER, 1, None),
        ],
        COUPON_USES: [
            CouponUse(1, DONE, 1, None),
            CouponUse(2, DONE, 2, None),
            CouponUse(3, CALLED_OFF, 4, T),
        ],
        COUPON_CLAIMS: [
            Claim(DONE, "HELD", None),
            Claim(CANCELLED, "REJECTED", "coupon_invalid"),
            Claim(CALLED_OFF, "RELEASED", None),
        ],
        ITEM_PRICES: [
            ItemPrice(SHIRT, SHIRT_PRICE, 0),
            ItemPrice(SOCK, SOCK_PRICE, 0),
            ItemPrice(3, 0, 1),
        ],
        PAYMENTS: list(_PAYMENTS),
        LEDGER: [
            LedgerEntry(number, user_id, delta, balance, *rest)
            for number, ((user_id, delta, *rest), balance) in enumerate(
                zip(_LEDGER, _running(_LEDGER, 1), strict=True), start=1
            )
        ],
        ACCOUNTS: [
            Account(BUYER, 964_000, "OPEN", T),
            Account(OTHER, 1_000, "OPEN", T),
            Account(5, 0, "CLOSED", T),
            Account(6, 0, "OPEN", FUTURE),
        ],
        INTENTS: [
            Intent(PAID_LATER, BUYER, CARD, SHIRT_PRICE, T),
            Intent(BOUGHT, BUYER, None, 5_000, T),
            Intent(REFUSED, OTHER, None, 1, None),
            Intent(payment_id(30), BUYER, None, 7, None),
        ],
        ACTS: [Act(1, "payment.resolved", payment_id(8)), Act(2, "points.granted", f"{OTHER}")],
        USERS: [
            User(BUYER, "ACTIVE", T, None),
            User(OTHER, "ACTIVE", LONG_AGO, None),
            User(4, "OPENING", T, FUTURE),
        ],
        NOTIFICATIONS: [
            Notification(1, BUYER, CANCELLED, "order_failed", "", "coupon_invalid", None),
            Notification(2, BUYER, CANCELLED, "payment_refunded", payment_id(2), None, 39_780),
            Notification(3, BUYER, FAILED, "order_failed", "", "out_of_stock", None),
            Notification(4, BUYER, CARD, "payment_refunded", "", None, SHIRT_PRICE),
            Notification(5, OTHER, ATTENTION, "order_cancelled", "", "cancelled_by_buyer", None),
            Notification(6, OTHER, KEPT, "order_cancelled", "", "cancelled_by_buyer", None),
            Notification(7, OTHER, CALLED_OFF, "order_cancelled", "", "cancelled_by_admin", None),
            Notification(8, OTHER, GIVING_BACK, "order_failed", "", "timeout", None),
            Notification(9, BUYER, DONE, "payment_partly_refunded", f"{payment_id(1)}/80", None, 80),
            Notification(10, BUYER, CARD, "payment_partly_refunded", f"{payment_id(5)}/300", None, 300),
            Notification(11, OTHER, ATTENTION, "payment_partly_refunded", f"{payment_id(7)}/800", None, 800),
        ],
        SALES_HOURS: [
            SalesHour(HOUR, 2, 5, Decimal(SOLD), Decimal(380), 2, Decimal(2 * SHIRT_PRICE)),
        ],
        ITEM_SALES: _item_sales(),
    }
    rows[ORDER_VIEWS] = [_view(order) for order in rows[ORDERS]]
    rows[EVENTS] = _events(rows)
    return rows


def _paid_by(order: str, name: str) -> str | None:
    return _PAYER.get(order) if name == "payment" else None


def _order(order: str) -> Order:
    buyer_id, status, reason, settled, paid, pay_with, _, _, deadline_at = _SPEC[order]
    details = '{"was":"cancelled_by_buyer","amount":49800}' if reason == "payment_kept" else None
    lines = json.dumps(lines_of(order))
    total = total_of(order)
    moved = FUTURE if order == GIVING_BACK else T
    return Order(
        order, buyer_id, status, reason, details, settled, paid, pay_with, total, lines, T, moved, deadline_at
    )


def _view(order: Order) -> OrderView:
    confirmed = CONFIRMED in _SPEC[order.id][7]
    payer = _PAYER[order.id] if confirmed else None
    return OrderView(
        order.id,
        order.buyer_id,
        order.status,
        order.settled,
        order.reason,
        order.pay_with,
        order.total,
        payer,
        order.lines,
        T,
        T if confirmed else None,
        _parts(order.id),
    )


def _parts(order: str) -> str | None:
    parts = [
        {"payment_id": one.payment_id, "refunded": part, "amount": part, "at": "2026-01-05T10:00:00Z"}
        for one in _PAYMENTS
        if one.order_id == order and (part := one.refunded - one.released)
    ]
    return json.dumps(parts) if parts else None


def _item_sales() -> list[ItemSales]:
    starts = {"day": date(2026, 1, 5), "week": date(2026, 1, 5), "month": date(2026, 1, 1)}
    starts["all"] = date(1970, 1, 1)
    sold = ((SHIRT, 2, 39_780 + SHIRT_PRICE), (SOCK, 3, 300))
    each = [(period, start, *sale) for period, start in starts.items() for sale in sold]
    return [ItemSales(number, *one[:4], Decimal(one[4])) for number, one in enumerate(each, start=1)]


_OF_HISTORY = {
    "ORDER_COMPLETED": "order.completed",
    "ORDER_CONFIRMED": "order.confirmed",
    "ORDER_FAILED": "order.failed",
    "ORDER_CANCELLED": "order.cancelled",
    "ORDER_SETTLED": "order.settled",
    "STOCK_RESTORED": "item.stock_released",
    "COUPON_APPLIED": "coupon.applied",
    "COUPON_RESTORED": "coupon.released",
}


def _events(rows: Rows) -> list[StoredEvent]:
    told: list[tuple[str, str, str, dict[str, Any]]] = [
        (
            "c1",
            "1",
            "item.created",
            {"item_id": 1, "name": "Shirt", "size": "M", "price": 50_000, "version": 1},
        ),
        (
            "c2",
            "1",
            "item.changed",
            {"item_id": 1, "name": "Shirt", "size": "M", "price": SHIRT_PRICE, "version": 2},
        ),
        ("c3", "2", "item.created", {"item_id": 2, "name": "Sock", "size": "-", "price": 100, "version": 1}),
        ("c4", "3", "item.created", {"item_id": 3, "name": "Cap", "size": "-", "price": 700, "version": 1}),
        ("c5", "3", "item.deleted", {"item_id": 3, "version": 2}),
        ("c6", "2", "user.registered", {"user_id": BUYER}),
        ("c7", "5", "user.registration_failed", {"user_id": 5}),
    ]
    for order in rows[ORDERS]:
        told += [(order.id, order.id, *event) for event in _of_order(order)]
    for claim in rows[ITEM_CLAIMS]:
        name, facts = (
            "item.stock_reserved",
            {"names": {one["item_id"]: "-" for one in lines_of(claim.order_id)}},
        )
        if claim.state == "REJECTED":
            name, facts = "item.stock_rejected", {"reason": claim.reason}
        told.append((claim.order_id, claim.order_id, name, {"order_id": claim.order_id} | facts))
    told.append(
        (CANCELLED, CANCELLED, "coupon.rejected", {"order_id": CANCELLED, "reason": "coupon_invalid"})
    )
    for payment in rows[PAYMENTS]:
        if payment.order_id:
            told += [(payment.order_id, payment.order_id, *event) for event in _of_payment(payment)]
    for note in rows[NOTIFICATIONS]:
        facts = {"order_id": note.order_id, "user_id": note.user_id, "kind": note.kind}
        told.append((note.order_id, note.order_id, "user.notified", facts))
    return [
        StoredEvent(number, saga_id, subject, event_type, json.dumps(facts))
        for number, (saga_id, subject, event_type, facts) in enumerate(told, start=1)
    ]


def _of_order(order: Order) -> Iterable[tuple[str, dict[str, Any]]]:
    facts = {"order_id": order.id, "buyer_id": order.buyer_id, "total": order.total}
    yield "order.placed", facts | {"lines": json.loads(order.lines), "pay_with": order.pay_with}
    was = "cancelled_by_buyer" if order.id == KEPT else order.reason
    for what, name, _ in _SPEC[order.id][7]:
        if what == "RELEASE_REQUESTED":
            yield f"order.release.{name}", {"order_id": order.id}
        elif what == "CONFIRMATION_REJECTED":
            yield "order.confirmation_rejected", {"order_id": order.id, "payment_id": payment_id(6)}
        elif event_type := _OF_HISTORY.get(what):
            reason = was if event_type == "order.failed" else order.reason
            payer = {"payment_id": _PAYER[order.id]} if event_type == "order.confirmed" else {}
            yield event_type, facts | {"reason": reason} | payer


def _of_payment(payment: Payment) -> Iterable[tuple[str, dict[str, Any]]]:
    facts = {"order_id": payment.order_id, "payment_id": payment.payment_id, "user_id": payment.user_id}
    if payment.state == "REJECTED":
        yield "payment.declined", facts | {"reason": payment.reason, "details": {}}
    elif payment.state != "ASKING":
        yield "payment.captured", facts | {"amount": payment.amount}
    parts = payment.refunded - payment.released
    if parts:
        yield "payment.partly_refunded", facts | {"amount": parts, "refunded": parts}
    if payment.state == "RELEASED":
        yield "payment.refunded", facts | {"amount": payment.released}
    if payment.state == "KEPT":
        yield "payment.kept", facts | {"amount": payment.amount}


def sound_pg() -> list[Entry]:
    """What the payment gateway has on its list for these payments, and for another shop."""
    entries = [Entry("another-shop-17", 9, "USD", T)]
    for payment in _PAYMENTS:
        if payment.method == "card" and payment.state not in ("REJECTED", "ASKING"):
            entries.append(Entry(payment.payment_id, payment.amount or 0, "KRW", T))
            if payment.refunded:
                entries.append(Entry(payment.payment_id, -payment.refunded, "KRW", T))
    return entries
