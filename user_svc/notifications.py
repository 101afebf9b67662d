"""Notifications: written down once for each failure and each refund, listed, followed, marked as read."""

from collections.abc import Sequence

import msgspec

from shared.database import Reader, Transaction, page
from shared.errors import NotFound
from user_svc import domain, models, store
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
from user_svc.store import Told


async def tell(tx: Transaction, news: Sequence[News], settings: UserSettings) -> None:
    """Write down what is new of this, and that it is to be mailed where mail is on.

    The users are held first. So of two who tell the same the later sees the earlier's, and a user's ids rise
    in the order in which they can be seen: whoever reads on after the last one misses none.
    """
    if not news:
        return
    users = await store.hold_users(tx, {one.user_id for one in news})
    orders = {one.order_id for one in news}
    told = await store.told_of(tx, orders)
    fresh: dict[Told, News] = {}
    for one in news:
        this = Told(one.order_id, one.kind, one.part)
        # Without a part: from when there could be one of a kind for an order only, whichever that was.
        if one.user_id in users and this not in told and Told(one.order_id, one.kind, "") not in told:
            fresh.setdefault(this, one)
    await store.add_notifications(tx, fresh.values())
    if settings.smtp_url and fresh:
        numbers = await store.told_of(tx, orders)
        await store.ask_for_delivery(tx, [numbers[this] for this in fresh])
    for one in fresh.values():
        tx.emit(UserNotified(user_id=one.user_id, order_id=one.order_id, kind=one.kind))


async def list_notifications(call: ListNotifications, db: Reader) -> NotificationPage:
    """A page of a user's notifications, newest first."""
    query = models.Notification.filter(user_id=call.user_id).using_db(db.models).order_by("-id")
    if call.after is not None:
        query = query.filter(id__lt=call.after)
    rows, more = await page(call.limit, query.limit, key=lambda row: row.id)
    return NotificationPage(items=[_notification(row) for row in rows], next=more)


async def follow(call: FollowNotifications, db: Reader) -> NewNotifications:
    """What has come since."""
    query = models.Notification.filter(user_id=call.user_id).using_db(db.models)
    if call.after is None:
        newest = await query.order_by("-id").first()
        return NewNotifications(items=[], last=newest.id if newest is not None else 0)
    rows = await query.filter(id__gt=call.after).order_by("id").limit(call.limit)
    return NewNotifications(
        items=[_notification(row) for row in rows], last=rows[-1].id if rows else call.after
    )


async def mark_read(call: ReadNotification, tx: Transaction) -> Notification:
    """Keep when it was first read."""
    query = models.Notification.filter(id=call.notification_id, user_id=call.user_id).using_db(tx.models)
    await query.filter(read_at=None).update(read_at=tx.now)
    row = await query.get_or_none()
    if row is None:
        raise NotFound("There is no such notification.")
    return _notification(row)


def _notification(row: models.Notification) -> Notification:
    news = msgspec.convert(row, News, from_attributes=True)
    return Notification(
        id=row.id,
        kind=news.kind,
        order_id=news.order_id,
        reason=news.reason,
        amount=news.amount,
        text=domain.text(news),
        created_at=row.created_at,
        read_at=row.read_at,
    )
