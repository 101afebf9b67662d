"""What the gateway is made of."""

from gateway.console.routes import console
from gateway.docs import openapi as docs
from gateway.routes import shop
from gateway.settings import GatewaySettings
from gateway.shop import events
from shared.service.service import Service, tap

service = Service(
    "gateway",
    settings=GatewaySettings,
    taps=(
        tap(events.OrderCompleted, events.order_completed),
        tap(events.OrderCancelled, events.order_settled),
        tap(events.OrderSettled, events.order_settled),
        tap(events.OrderFailed, events.order_failed),
        tap(events.OrderConfirmed, events.order_confirmed),
        tap(events.UserNotified, events.user_notified),
    ),
    routes=(shop, console),
    openapi=docs.config,
)
