"""Carts: their lines, and what orders take out of them and bring back.

The lines of a cart leave it together with the stock that an order gets. They come back if the order fails
without ever having been completed: then the cart has as many of each item as it had or has since got,
whichever is more, so that what was put in again meanwhile is not doubled.
"""

from collections.abc import Collection, Sequence
from typing import Literal
from uuid import UUID

import msgspec

from item_svc.domain import Buying, InCart, leaving
from shared.database import Query, Reader, Row, Select, Transaction

_json = msgspec.json.Encoder()


class PricedLine(Row):
    """A line of a cart, and its item as it is now."""

    item_id: int
    quantity: int
    name: str
    size: str
    price: int
    stock: int
    retired: int


class PutAside(Row):
    """That a user has put an item aside."""

    id: int
    user_id: int
    item_id: int


class Taking(Row):
    """What an order took out of its buyer's cart: how many of each item, by its id."""

    order_id: UUID
    state: Literal["TAKEN", "RETURNED"]
    user_id: int | None
    pieces: dict[int, int] | None


class SeenOrder(Row):
    """An order that item knows of."""

    order_id: UUID


_OF_ITEM = {name: f"i.{name}" for name in ("name", "size", "price", "stock", "retired")}

LINES = Select(
    PricedLine,
    "FROM cart_lines c JOIN items i ON i.id = c.item_id WHERE c.user_id = %s ORDER BY c.id",
    of="c",
    made=_OF_ITEM,
)
PUT_ASIDE = Select(PutAside, "FROM cart_lines WHERE user_id IN %s")
LOCKED_LINES = Select(InCart, "FROM cart_lines FORCE INDEX (PRIMARY) WHERE id IN %s ORDER BY id FOR UPDATE")
KNOWN_TAKINGS = Select(SeenOrder, "FROM cart_takings WHERE order_id IN %s")
LOCKED_TAKINGS = Select(Taking, "FROM cart_takings WHERE order_id IN %s ORDER BY order_id FOR UPDATE")
ANSWERED = Select(SeenOrder, "FROM item_claims WHERE order_id IN %s")


async def lines_of(db: Reader, user_id: int) -> list[PricedLine]:
    """The lines of a cart, in the order in which they were put in."""
    return await db.find(LINES, user_id)


async def set_line(tx: Transaction, user_id: int, item_id: int, quantity: int) -> None:
    """Have so many of an item in a cart."""
    await tx.write(
        "INSERT INTO cart_lines (user_id, item_id, quantity, changed_at) VALUES (%s, %s, %s, %s)"
        " ON DUPLICATE KEY UPDATE quantity = VALUES(quantity), changed_at = VALUES(changed_at)",
        [user_id, item_id, quantity, tx.now],
    )


def carts_of(user_ids: Collection[int]) -> Query[list[PutAside]]:
    """Which items some users have put aside, to be looked at before anything is taken out."""
    return PUT_ASIDE.among(user_ids)


async def take_along(tx: Transaction, orders: Sequence[Buying], there: Sequence[PutAside]) -> None:
    """Let orders take their lines out of their buyers' carts, of which `there` is what is in them.

    Nothing more is asked where nobody has put anything aside that is ordered.
    An order whose failure was heard before takes nothing; if that is heard at this very moment, the two meet
    at the key of the order's row, and whoever comes second runs again.
    """
    wanted = {(order.buyer_id, item_id) for order in orders for item_id in order.item_ids}
    ids = sorted(line.id for line in there if (line.user_id, line.item_id) in wanted)
    if not ids:
        return
    known, lines = await tx.ask(
        KNOWN_TAKINGS.among([order.order_id for order in orders]), LOCKED_LINES.among(ids)
    )
    failed = {one.order_id for one in known}
    taken = leaving([order for order in orders if order.order_id not in failed], lines)
    if not taken:
        return
    await tx.write(
        "DELETE FROM cart_lines WHERE id IN %s",
        [sorted(line.id for lines in taken.values() for line in lines)],
    )
    await tx.write_many(
        "INSERT INTO cart_takings (order_id, state, user_id, pieces, changed_at)"
        " VALUES (%s, 'TAKEN', %s, %s, %s)",
        [
            (
                order_id,
                lines[0].user_id,
                _json.encode({line.item_id: line.quantity for line in lines}).decode(),
                tx.now,
            )
            for order_id, lines in sorted(taken.items())
        ],
    )


async def bring_back(tx: Transaction, order_ids: Collection[UUID]) -> None:
    """Put back what failed orders took out of carts, once; one that is yet to come is to take nothing."""
    # The claims first: what is then seen as answered has its taking, if any, in the question after it. Asked
    # the other way round, an order that was served between the two would keep what it took for ever.
    answered, takings = await tx.ask(ANSWERED.among(order_ids), LOCKED_TAKINGS.among(order_ids))
    taken = [one for one in takings if one.state == "TAKEN"]
    await tx.write_many(
        "INSERT INTO cart_lines (user_id, item_id, quantity, changed_at) VALUES (%s, %s, %s, %s)"
        " ON DUPLICATE KEY UPDATE quantity = GREATEST(quantity, VALUES(quantity)),"
        " changed_at = VALUES(changed_at)",
        sorted(
            (one.user_id, item_id, quantity, tx.now)
            for one in taken
            for item_id, quantity in (one.pieces or {}).items()
        ),
    )
    if taken:
        await tx.write(
            "UPDATE cart_takings SET state = 'RETURNED', changed_at = %s WHERE order_id IN %s",
            [tx.now, [one.order_id for one in taken]],
        )
    known = {one.order_id for one in (*answered, *takings)}
    await tx.write_many(
        "INSERT INTO cart_takings (order_id, state, changed_at) VALUES (%s, 'RETURNED', %s)",
        [(order_id, tx.now) for order_id in sorted(set(order_ids) - known)],
    )
