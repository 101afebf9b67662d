"""What the gateway is made of."""

from gateway.console.routes import console
from gateway.docs import openapi as docs
from gateway.door import auth, ended
from gateway.door.headers import Dressing
from gateway.routes import shop
from gateway.settings import GatewaySettings
from gateway.shop import events
from gateway.shop.placing import is_refused
from shared.service import Service, every, tap

service = Service(
    "gateway",
    settings=GatewaySettings,
    taps=(
        tap(events.order_completed),
        tap(events.order_settled),
        tap(events.order_failed),
        tap(events.order_confirmed),
        tap(events.user_notified),
        tap(ended.tokens_ended),
    ),
    jobs=(every(auth.ASK_EVERY_S, auth.keep_up),),
    routes=(shop, console),
    openapi=docs.config,
    refuses=is_refused,
    dressing=Dressing,
)
