"""Events as the gateway hears them, and what they do: wake the requests that wait for them."""

import time
from uuid import UUID

from gateway.door.waiting import Watches
from gateway.shop.admitting import OrdersUnderWay
from order_svc.contracts import HistoryEntry, ParticipantView
from shared.messages import View


class OrderCompleted(View, of="order.completed", frozen=True):
    """It was fulfilled. Tells all that has changed since it was placed."""

    order_id: UUID
    paid: bool
    version: int
    participants: list[ParticipantView]
    history: list[HistoryEntry]
    item_names: dict[int, str]


class OrderConfirmed(View, of="order.confirmed", frozen=True):
    """It is paid."""

    order_id: UUID


class OrderFailed(View, of="order.failed", frozen=True):
    """It will not be fulfilled; `settled` if there was nothing to give back."""

    order_id: UUID
    settled: bool


class OrderCancelled(View, of="order.cancelled", frozen=True):
    """It failed, and all that was taken has been given back."""

    order_id: UUID


class OrderSettled(View, of="order.settled", frozen=True):
    """It failed, and there was nothing to give back after all."""

    order_id: UUID


class UserNotified(View, of="user.notified", frozen=True):
    """A user has a new notification."""

    user_id: int


# One each per process: its requests and its taps run on the same event loop.
settlements: Watches[UUID, OrderCompleted] = Watches()
"""Of orders, by id: told when one settles."""
changes: Watches[UUID, None] = Watches()
"""Of orders, by id: told when something has happened to one that it tells the world."""
notifications: Watches[int, None] = Watches()
"""Of users, by id: told when one is notified."""
under_way = OrdersUnderWay()
"""The orders that were placed by this process and have not ended."""


def order_completed(event: OrderCompleted) -> None:
    """The order came to a good end, and whoever waits learns all of it."""
    under_way.completed(event.order_id, time.monotonic())
    settlements.tell(event.order_id, event)
    changes.tell(event.order_id)


def order_settled(event: OrderCancelled | OrderSettled) -> None:
    """The order came to nothing, and to rest."""
    settlements.tell(event.order_id)
    changes.tell(event.order_id)


def order_failed(event: OrderFailed) -> None:
    """The order failed; with things to give back it is not at its end yet."""
    under_way.ended(event.order_id)
    if event.settled:
        settlements.tell(event.order_id)
    changes.tell(event.order_id)


def order_confirmed(event: OrderConfirmed) -> None:
    """The order was paid."""
    changes.tell(event.order_id)


def user_notified(event: UserNotified) -> None:
    """The user's streams have something to send."""
    notifications.tell(event.user_id)
