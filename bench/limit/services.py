"""What the order, item and coupon services of the limit do with a list."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from aiomysql import Cursor

from bench.limit.messages import End, Order, Verdict, encode
from bench.limit.wire import among

Told = Sequence[tuple[str, Sequence[Any]]]


async def place(cursor: Cursor, orders: list[Order]) -> Told:
    """Order: write new orders and tell of them."""
    await cursor.executemany(
        "INSERT INTO orders (id, buyer_id, status, total, `lines`) VALUES (%s, %s, %s, %s, %s)",
        [
            (order.id, order.buyer_id, "PENDING", order.total, encode(order.lines).decode())
            for order in orders
        ],
    )
    return [("placed", orders)]


async def reserve(cursor: Cursor, orders: list[Order]) -> Told:
    """Item: take the stock of every order that can be served."""
    known = await _claimed(cursor, orders)
    fresh = [order for order in orders if order.id not in known]
    if fresh:
        wanted = sorted({line.item_id for order in fresh for line in order.lines})
        await cursor.execute(
            f"SELECT id, price, stock FROM items WHERE id IN {among(wanted)} ORDER BY id FOR UPDATE", wanted
        )
        shelf = {item: [price, stock] for item, price, stock in await cursor.fetchall()}
        taken: Counter[int] = Counter()
        for order in fresh:
            ok = all(
                line.item_id in shelf
                and shelf[line.item_id][0] == line.unit_price
                and shelf[line.item_id][1] >= line.quantity
                for line in order.lines
            )
            known[order.id] = ok
            for line in order.lines if ok else ():
                shelf[line.item_id][1] -= line.quantity
                taken[line.item_id] += line.quantity
        if taken:
            cases = " ".join(["WHEN %s THEN %s"] * len(taken))
            await cursor.execute(
                f"UPDATE items SET stock = stock - CASE id {cases} END WHERE id IN {among(taken)}",
                [*(value for pair in taken.items() for value in pair), *taken],
            )
        await _claim(cursor, fresh, known)
    return [("reserved", [Verdict(order.id, known[order.id]) for order in orders])]


async def apply(cursor: Cursor, orders: list[Order]) -> Told:
    """Coupon: use up the coupons of every order that may use them."""
    known = await _claimed(cursor, orders)
    fresh = [order for order in orders if order.id not in known]
    if fresh:
        wanted = sorted({one for order in fresh for line in order.lines for one in line.user_coupon_ids})
        await cursor.execute(
            f"SELECT id, user_id, discount, used_by FROM user_coupons WHERE id IN {among(wanted)}"
            " ORDER BY id FOR UPDATE",
            wanted,
        )
        held = {row[0]: row for row in await cursor.fetchall()}
        used: list[tuple[Any, ...]] = []
        for order in fresh:
            mine: list[tuple[Any, ...]] = []
            ok = True
            for line in order.lines:
                price = line.unit_price
                for one in line.user_coupon_ids:
                    coupon = held.get(one)
                    if coupon is None or coupon[1] != order.buyer_id or coupon[3] is not None:
                        ok = False
                        break
                    price -= min(coupon[2], line.unit_price // 2)
                    mine.append((one, order.buyer_id, coupon[2], order.id))
                ok = ok and price == (line.discounted_price or line.unit_price)
            known[order.id] = ok
            if ok:
                used += mine
                for row in mine:
                    held[row[0]] = row
        if used:
            await cursor.executemany(
                "INSERT INTO user_coupons (id, user_id, discount, used_by) VALUES (%s, %s, %s, %s)"
                " ON DUPLICATE KEY UPDATE used_by = VALUES(used_by)",
                used,
            )
        await _claim(cursor, fresh, known)
    return [("applied", [Verdict(order.id, known[order.id]) for order in orders])]


async def count_items(cursor: Cursor, verdicts: list[Verdict]) -> Told:
    """Order: item has answered."""
    return await _count(cursor, verdicts, "item_ok")


async def count_coupons(cursor: Cursor, verdicts: list[Verdict]) -> Told:
    """Order: coupon has answered."""
    return await _count(cursor, verdicts, "coupon_ok")


async def _count(cursor: Cursor, verdicts: list[Verdict], column: str) -> Told:
    said = {verdict.id: verdict.ok for verdict in verdicts}
    await cursor.execute(
        f"SELECT id, item_ok, coupon_ok FROM orders WHERE id IN {among(said)} AND status = 'PENDING'"
        " ORDER BY id FOR UPDATE",
        sorted(said),
    )
    ends: list[End] = []
    rows: list[tuple[Any, ...]] = []
    for order_id, item_ok, coupon_ok in await cursor.fetchall():
        if column == "item_ok":
            item_ok = said[order_id]
        else:
            coupon_ok = said[order_id]
        status = "PENDING"
        if item_ok == 0 or coupon_ok == 0:
            status = "FAIL"
        elif item_ok and coupon_ok:
            status = "COMPLETED"
        if status != "PENDING":
            ends.append(End(order_id, status))
        # An upsert of rows that are there: columns that stay as they are get values that are not used.
        rows.append((order_id, 0, status, 0, "", item_ok, coupon_ok))
    if rows:
        await cursor.executemany(
            "INSERT INTO orders (id, buyer_id, status, total, `lines`, item_ok, coupon_ok)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s)"
            " ON DUPLICATE KEY UPDATE status = VALUES(status), item_ok = VALUES(item_ok),"
            " coupon_ok = VALUES(coupon_ok)",
            rows,
        )
    return [("ended", ends)]


async def _claimed(cursor: Cursor, orders: list[Order]) -> dict[str, bool]:
    ids = [order.id for order in orders]
    await cursor.execute(f"SELECT order_id, ok FROM claims WHERE order_id IN {among(ids)}", ids)
    return {order_id: bool(ok) for order_id, ok in await cursor.fetchall()}


async def _claim(cursor: Cursor, orders: list[Order], known: dict[str, bool]) -> None:
    await cursor.executemany(
        "INSERT INTO claims (order_id, ok) VALUES (%s, %s)", [(one.id, known[one.id]) for one in orders]
    )
