"""Notifications: written down once for each failure and each refund, listed, followed, marked as read."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from shared.database import Reader, Transaction
from shared.errors import NotFound
from user_svc import deliveries, domain
from user_svc.contracts import (
    FollowNotifications,
    ListNotifications,
    NewNotifications,
    Notification,
    NotificationPage,
    ReadNotification,
    UserNotified,
)
from user_svc.domain import News
from user_svc.settings import UserSettings

_COLUMNS = "id, kind, order_id, reason, amount, user_id, created_at, read_at"


async def tell(tx: Transaction, news: Sequence[News], settings: UserSettings) -> None:
    """Write down what is new of this, and that it is to be mailed where mail is on.

    The users are held first. So of two who tell the same the later sees the earlier's, and a user's ids rise
    in the order in which they can be seen: whoever reads on after the last one misses none.
    """
    if not news:
        return
    held = await tx.rows(
        "SELECT id FROM users WHERE id IN %s ORDER BY id FOR UPDATE", (sorted({one.user_id for one in news}),)
    )
    users = {row[0] for row in held}
    orders = sorted({one.order_id for one in news})
    told = {row[1:] for row in await _of_orders(tx, orders)}
    fresh: dict[tuple[str, str, str], News] = {}
    for one in news:
        key = (str(one.order_id), one.kind, one.part)
        # Without a part: from when there could be one of a kind for an order only, whichever that was.
        if one.user_id in users and key not in told and (*key[:2], "") not in told:
            fresh.setdefault(key, one)
    await tx.write_many(
        "INSERT INTO notifications (user_id, order_id, kind, part, reason, amount, created_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s)",
        [
            (one.user_id, one.order_id, one.kind, one.part, one.reason, one.amount, tx.now)
            for one in fresh.values()
        ],
    )
    if settings.smtp_url and fresh:
        ids = [row[0] for row in await _of_orders(tx, orders) if row[1:] in fresh]
        await deliveries.ask_for(tx, ids)
    for one in fresh.values():
        tx.emit(UserNotified(user_id=one.user_id, order_id=one.order_id, kind=one.kind))


async def list_notifications(call: ListNotifications, db: Reader) -> NotificationPage:
    """A page of a user's notifications, newest first."""
    rows = await db.rows(
        f"SELECT {_COLUMNS} FROM notifications WHERE user_id = %s AND id < %s ORDER BY id DESC LIMIT %s",  # noqa: S608
        (call.user_id, call.after or 2**63 - 1, call.limit + 1),
    )
    page = [_notification(row) for row in rows[: call.limit]]
    return NotificationPage(items=page, next=page[-1].id if len(rows) > call.limit else None)


async def follow(call: FollowNotifications, db: Reader) -> NewNotifications:
    """What has come since."""
    if call.after is None:
        newest = await db.rows(
            "SELECT COALESCE(MAX(id), 0) FROM notifications WHERE user_id = %s", (call.user_id,)
        )
        return NewNotifications(items=[], last=newest[0][0])
    rows = await db.rows(
        f"SELECT {_COLUMNS} FROM notifications WHERE user_id = %s AND id > %s ORDER BY id LIMIT %s",  # noqa: S608
        (call.user_id, call.after, call.limit),
    )
    items = [_notification(row) for row in rows]
    return NewNotifications(items=items, last=items[-1].id if items else call.after)


async def mark_read(call: ReadNotification, tx: Transaction) -> Notification:
    """Keep when it was first read."""
    await tx.write(
        "UPDATE notifications SET read_at = %s WHERE id = %s AND user_id = %s AND read_at IS NULL",
        (tx.now, call.notification_id, call.user_id),
    )
    row = await tx.row(
        f"SELECT {_COLUMNS} FROM notifications WHERE id = %s AND user_id = %s",  # noqa: S608
        (call.notification_id, call.user_id),
    )
    if row is None:
        raise NotFound("There is no such notification.")
    return _notification(row)


async def _of_orders(db: Reader, order_ids: list[UUID]) -> list[tuple[Any, ...]]:
    return await db.rows(
        "SELECT id, order_id, kind, part FROM notifications WHERE order_id IN %s", (order_ids,)
    )


def _notification(row: tuple[Any, ...]) -> Notification:
    number, kind, order_id, reason, amount, user_id, created_at, read_at = row
    news = News(user_id=user_id, order_id=UUID(order_id), kind=kind, reason=reason, amount=amount)
    return Notification(
        id=number,
        kind=kind,
        order_id=news.order_id,
        reason=reason,
        amount=amount,
        text=domain.text(news),
        created_at=created_at,
        read_at=read_at,
    )
