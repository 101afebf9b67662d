"""What is read of the services' tables: a row's fields are the columns that are read, and no others.

No personal datum and no secret is among them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Generic, NamedTuple, TypeVar

R = TypeVar("R", bound=tuple[Any, ...], covariant=True)


@dataclass(frozen=True)
class Table(Generic[R]):
    """A service's table, and what a row of it is here."""

    service: str
    name: str
    row: type[R]

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are read."""
        return self.row._fields  # type: ignore[attr-defined,no-any-return]

    def by(self, column: str, then: str = "", only: "Only | None" = None) -> "Reading[R]":
        """The rows in the order of a column, and among equals of another; rows without it are left out."""
        place = self.columns.index(column)
        return Reading(self, column, column, then, lambda row: row[place], only)

    def by_number(self, column: str, then: str, only: "Only") -> "Reading[R]":
        """The rows with some values, where a column of text holds a number: in the order of the numbers."""
        place = self.columns.index(column)
        # Other rows' texts are none, which the server would complain about.
        number = f"CASE WHEN {only.sql} THEN CAST({column} AS UNSIGNED) END"
        return Reading(self, column, number, then, lambda row: _number(row[place]), only)


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0


class Only(NamedTuple):
    """Leaves out the rows whose `column` has none of some values."""

    column: str
    values: tuple[str, ...]

    @property
    def sql(self) -> str:
        """As a condition."""
        values = ", ".join(f"'{value}'" for value in self.values)
        return f"{self.column} IN ({values})"


@dataclass(frozen=True)
class Reading(Generic[R]):
    """A table's rows in the order of a key: `sql_key` to the database, `key` here."""

    table: Table[R]
    column: str
    sql_key: str
    then: str
    key: Callable[[Any], Any]
    only: Only | None = None


# Orders --------------------------------------------------------------------------------------------------


class Order(NamedTuple):
    """An order as the order service keeps it."""

    id: str
    buyer_id: int
    status: str
    reason: str | None
    reason_details: str | None
    settled: int
    paid: int
    pay_with: str | None
    total: int
    lines: str
    created_at: datetime
    updated_at: datetime
    deadline_at: datetime | None


class Participant(NamedTuple):
    """Where a participant of an order stands."""

    order_id: str
    name: str
    state: str
    payment_id: str | None
    release_due_at: datetime | None


class Change(NamedTuple):
    """An entry of an order's history."""

    order_id: str
    id: int
    at: datetime
    what: str
    participant: str | None
    status: str


ORDERS = Table("order", "orders", Order)
PARTICIPANTS = Table("order", "participants", Participant)
HISTORY = Table("order", "order_history", Change)

# Items ---------------------------------------------------------------------------------------------------


class Claim(NamedTuple):
    """What item or coupon answered an order."""

    order_id: str
    state: str
    reason: str | None


class StockEntry(NamedTuple):
    """A change of an item's stock."""

    id: int
    item_id: int
    order_id: str | None
    delta: int
    balance: int
    cause: str
    at: datetime


class Taking(NamedTuple):
    """What an order took out of its buyer's cart."""

    order_id: str
    state: str
    user_id: int | None
    pieces: str | None


class CartLine(NamedTuple):
    """An item that somebody has put aside."""

    user_id: int
    item_id: int
    changed_at: datetime


class Item(NamedTuple):
    """An item of the catalogue."""

    id: int
    name: str
    size: str
    price: int
    stock: int
    initial_stock: int
    version: int
    retired: int
    created_at: datetime


ITEM_CLAIMS = Table("item", "item_claims", Claim)
STOCK = Table("item", "stock_history", StockEntry)
TAKINGS = Table("item", "cart_takings", Taking)
CART_LINES = Table("item", "cart_lines", CartLine)
ITEMS = Table("item", "items", Item)

# Coupons -------------------------------------------------------------------------------------------------


class Policy(NamedTuple):
    """The terms of a kind of coupon."""

    id: int
    kind: str
    value: int
    floor_price: int
    valid_from: datetime
    valid_until: datetime


class HeldCoupon(NamedTuple):
    """A coupon in somebody's hands."""

    id: int
    user_id: int
    policy_id: int
    used_by: str | None


class CouponUse(NamedTuple):
    """A coupon's use by an order."""

    id: int
    order_id: str
    user_coupon_id: int
    released_at: datetime | None


class ItemPrice(NamedTuple):
    """What coupon takes an item's price for."""

    item_id: int
    price: int
    deleted: int


POLICIES = Table("coupon", "coupon_policies", Policy)
HELD_COUPONS = Table("coupon", "user_coupons", HeldCoupon)
COUPON_USES = Table("coupon", "coupon_uses", CouponUse)
COUPON_CLAIMS = Table("coupon", "coupon_claims", Claim)
ITEM_PRICES = Table("coupon", "item_prices", ItemPrice)

# Payments ------------------------------------------------------------------------------------------------


class Payment(NamedTuple):
    """A payment, or what was said to an order instead; one without an order bought points."""

    payment_id: str
    order_id: str | None
    attempt: int
    state: str
    user_id: int | None
    method: str | None
    amount: int | None
    refunded: int
    released: int
    refunding: int
    reason: str | None
    resolved: str | None
    asks: int
    ask_due_at: datetime | None
    created_at: datetime
    changed_at: datetime


class LedgerEntry(NamedTuple):
    """A change of an account's balance."""

    id: int
    user_id: int
    delta: int
    balance: int
    kind: str
    order_id: str | None
    payment_id: str | None
    grant_id: str | None
    note: str | None


class Account(NamedTuple):
    """A user's points."""

    user_id: int
    balance: int
    state: str
    opened_at: datetime


class Intent(NamedTuple):
    """The number of a payment that was made before it."""

    payment_id: str
    user_id: int
    order_id: str | None
    amount: int | None
    used_at: datetime | None


class Act(NamedTuple):
    """What a person of the shop did about money."""

    id: int
    action: str
    subject: str


PAYMENTS = Table("payment", "payments", Payment)
LEDGER = Table("payment", "ledger", LedgerEntry)
ACCOUNTS = Table("payment", "accounts", Account)
INTENTS = Table("payment", "payment_intents", Intent)
ACTS = Table("payment", "audit_log", Act)

# Users ---------------------------------------------------------------------------------------------------


class User(NamedTuple):
    """A user, without anything personal."""

    id: int
    state: str
    created_at: datetime
    due_at: datetime | None


class Notification(NamedTuple):
    """Something that a buyer was told."""

    id: int
    user_id: int
    order_id: str
    kind: str
    part: str
    reason: str | None
    amount: int | None


USERS = Table("user", "users", User)
NOTIFICATIONS = Table("user", "notifications", Notification)

# The read side -------------------------------------------------------------------------------------------


class OrderView(NamedTuple):
    """An order as the read side shows it."""

    order_id: str
    buyer_id: int | None
    status: str
    settled: int
    reason: str | None
    pay_with: str | None
    total: int | None
    payment_id: str | None
    lines: str | None
    placed_at: datetime | None
    confirmed_at: datetime | None
    parts: str | None


class StoredEvent(NamedTuple):
    """An event as the read side keeps it."""

    position: int
    saga_id: str
    subject: str
    event_type: str
    event_data: str


class SalesHour(NamedTuple):
    """The figures of an hour."""

    hour: datetime
    orders: int
    quantity: int
    revenue: Decimal
    refunded: Decimal
    cancelled_orders: int
    cancelled_revenue: Decimal


class ItemSales(NamedTuple):
    """What was sold of an item in a period."""

    id: int
    period: str
    start: Any
    item_id: int
    quantity: int
    revenue: Decimal


ORDER_VIEWS = Table("query", "order_views", OrderView)
EVENTS = Table("query", "saga_event_log", StoredEvent)
SALES_HOURS = Table("query", "sales_hours", SalesHour)
ITEM_SALES = Table("query", "item_sales", ItemSales)


def events_by_number(*types: str) -> Reading[StoredEvent]:
    """The stored events of some types about what has a number, in the order of these numbers."""
    return EVENTS.by_number("subject", "position", Only("event_type", types))
