"""Notifications over HTTP: list them, mark them read, and have them sent as they come."""

from collections.abc import Sequence
from typing import Annotated

from litestar import get, post
from litestar.params import HeaderParameter
from litestar.response import Stream

from gateway.door.api import After, Id, LongPageSize, problems
from gateway.door.guards import STREAM
from gateway.door.idempotency import IdempotencyKey, once
from gateway.door.requests import ShopRequest
from gateway.door.roles import SIGNED_IN
from gateway.door.sse import News, came_to, event_stream, follow, stream_answer
from gateway.shop.events import notifications
from user_svc.contracts import (
    FollowNotifications,
    ListNotifications,
    Notification,
    NotificationPage,
    ReadNotification,
)

LastEventId = Annotated[
    str | None,
    HeaderParameter(
        name="Last-Event-ID",
        pattern=r"^[0-9]{1,18}$",
        description="Continue after this id, the last one received; without it: only new ones.",
    ),
]


@get(
    "/users/me/notifications",
    operation_id="list_notifications",
    summary="Your notifications",
    opt=SIGNED_IN,
    responses=problems(400, 401),
)
async def list_notifications(
    request: ShopRequest, limit: LongPageSize = 50, after: After = None
) -> NotificationPage:
    """Orders that failed, were cancelled or expired, and refunds; newest first."""
    call = ListNotifications(user_id=request.user.id, limit=limit, after=after or None)
    return await request.rpc.call(call)


@post(
    "/users/me/notifications/{notification_id:str}/read",
    operation_id="read_notification",
    summary="Mark a notification as read",
    opt=SIGNED_IN,
    status_code=200,
    responses=problems(400, 401, 404, 409, 422),
)
async def read_notification(
    request: ShopRequest, notification_id: Id, idempotency_key: IdempotencyKey = None
) -> Notification:
    """Mark it as read; repeating this changes nothing."""
    call = ReadNotification(user_id=request.user.id, notification_id=notification_id)
    return await request.rpc.call(call, once=once(request, idempotency_key, notification_id))


@get(
    "/users/me/notifications/events",
    operation_id="follow_notifications",
    summary="Stream your notifications",
    opt=SIGNED_IN | STREAM,
    responses=stream_answer("Server-sent events named `notification`.") | problems(400, 401),
)
async def follow_notifications(request: ShopRequest, last_event_id: LastEventId = None) -> Stream:
    """Your new notifications as server-sent events, each with its id."""
    user_id = request.user.id
    last_event_id = came_to(request, last_event_id, longest=18)
    after = int(last_event_id) if last_event_id else None
    begun = await request.rpc.call(FollowNotifications(user_id=user_id, limit=1, after=after))
    place = str(begun.last if after is None else after)

    async def read(after: str | None) -> Sequence[News]:
        found = await request.rpc.call(FollowNotifications(user_id=user_id, after=int(after or 0)))
        return [News(str(one.id), "notification", one) for one in found.items]

    return event_stream(
        request, follow(read, notifications.watch(user_id), place), whose=str(user_id), since=place
    )


routes = [list_notifications, read_notification, follow_notifications]
