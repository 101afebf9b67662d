"""Carts: their lines, and what orders take out of them and bring back.

The lines of a cart leave it together with the stock that an order gets. They come back if the order fails
without ever having been completed: then the cart has as many of each item as it had or has since got,
whichever is more, so that what was put in again meanwhile is not doubled.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple
from uuid import UUID

import msgspec

from item_svc.domain import Buying, InCart, leaving
from shared.database.transaction import Query, Reader, Transaction, among

_json = msgspec.json.Encoder()
_read_pieces = msgspec.json.Decoder(dict[int, int])


class InCarts(NamedTuple):
    """That a user has put an item aside."""

    id: int
    user_id: int
    item_id: int


async def lines_of(db: Reader, user_id: int) -> list[tuple[int, int, str, str, int, int, int]]:
    """Item id, quantity, name, size, price, stock and `retired` of each line of a cart, as they are now."""
    return await db.rows(
        "SELECT c.item_id, c.quantity, i.name, i.size, i.price, i.stock, i.retired"
        " FROM cart_lines c JOIN items i ON i.id = c.item_id WHERE c.user_id = %s ORDER BY c.id",
        [user_id],
    )


async def has_room(tx: Transaction, user_id: int, item_id: int, most: int) -> bool:
    """Whether a line for this item can be in the cart without there being more than `most`."""
    rows = await tx.rows("SELECT item_id FROM cart_lines WHERE user_id = %s", [user_id])
    return len(rows) < most or (item_id,) in rows


async def set_line(tx: Transaction, user_id: int, item_id: int, quantity: int) -> None:
    """Have so many of an item in a cart."""
    await tx.write(
        "INSERT INTO cart_lines (user_id, item_id, quantity, changed_at) VALUES (%s, %s, %s, %s)"
        " ON DUPLICATE KEY UPDATE quantity = VALUES(quantity), changed_at = VALUES(changed_at)",
        [user_id, item_id, quantity, tx.now],
    )


async def remove_lines(tx: Transaction, user_id: int, item_id: int | None = None) -> None:
    """Have none of an item, or of any, in a cart."""
    if item_id is None:
        await tx.write("DELETE FROM cart_lines WHERE user_id = %s", [user_id])
    else:
        await tx.write("DELETE FROM cart_lines WHERE user_id = %s AND item_id = %s", [user_id, item_id])


def carts_of(user_ids: Collection[int]) -> Query[list[InCarts]]:
    """Which items some users have put aside, to be looked at before anything is taken out."""
    sql = "SELECT id, user_id, item_id FROM cart_lines WHERE user_id IN %s"
    return among(sql, user_ids, lambda rows: [InCarts(*row) for row in rows])


async def take_along(tx: Transaction, orders: Sequence[Buying], there: Sequence[InCarts]) -> None:
    """Let orders take their lines out of their buyers' carts, of which `there` is what is in them.

    Nothing more is asked where nobody has put anything aside that is ordered.

    An order whose failure was heard before takes nothing; if that is heard at this very moment, the two meet
    at the key of the order's row, and whoever comes second runs again.
    """
    wanted = {(order.buyer_id, item_id) for order in orders for item_id in order.item_ids}
    ids = sorted(line.id for line in there if (line.user_id, line.item_id) in wanted)
    if not ids:
        return
    known = await tx.rows(
        "SELECT order_id FROM cart_takings WHERE order_id IN %s", [sorted(order.order_id for order in orders)]
    )
    failed = {UUID(order_id) for (order_id,) in known}
    rows = await tx.rows(
        "SELECT id, user_id, item_id, quantity, changed_at FROM cart_lines FORCE INDEX (PRIMARY)"
        " WHERE id IN %s ORDER BY id FOR UPDATE",
        [ids],
    )
    taken = leaving(
        [order for order in orders if order.order_id not in failed],
        [InCart(*row) for row in rows],
    )
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
    if not order_ids:
        return
    rows = await tx.rows(
        "SELECT order_id, state, user_id, pieces FROM cart_takings"
        " WHERE order_id IN %s ORDER BY order_id FOR UPDATE",
        [sorted(order_ids)],
    )
    taken = [row for row in rows if row[1] == "TAKEN"]
    await tx.write_many(
        "INSERT INTO cart_lines (user_id, item_id, quantity, changed_at) VALUES (%s, %s, %s, %s)"
        " ON DUPLICATE KEY UPDATE quantity = GREATEST(quantity, VALUES(quantity)),"
        " changed_at = VALUES(changed_at)",
        sorted(
            (user_id, item_id, quantity, tx.now)
            for _, _, user_id, pieces in taken
            for item_id, quantity in _read_pieces.decode(pieces).items()
        ),
    )
    if taken:
        await tx.write(
            "UPDATE cart_takings SET state = 'RETURNED', changed_at = %s WHERE order_id IN %s",
            [tx.now, [row[0] for row in taken]],
        )
    await _turn_away(tx, set(order_ids) - {UUID(row[0]) for row in rows})


async def _turn_away(tx: Transaction, order_ids: Collection[UUID]) -> None:
    """Keep that these orders failed, those aside that were seen already and took nothing."""
    if not order_ids:
        return
    seen = await tx.rows("SELECT order_id FROM item_claims WHERE order_id IN %s", [sorted(order_ids)])
    await tx.write_many(
        "INSERT INTO cart_takings (order_id, state, changed_at) VALUES (%s, 'RETURNED', %s)",
        [(order_id, tx.now) for order_id in sorted(set(order_ids) - {UUID(row[0]) for row in seen})],
    )
