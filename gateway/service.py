"""What the gateway is made of."""

from gateway import contracts
from gateway.console.routes import console
from gateway.docs import openapi as docs
from gateway.door import auth, counting, ended, tickets
from gateway.door.headers import Dressing
from gateway.door.rate_limit import TELL_EACH_S
from gateway.routes import shop
from gateway.settings import GatewaySettings
from gateway.shop import events
from gateway.shop.placing import is_refused
from shared.service import Service, every, tap

service = Service(
    "gateway",
    settings=GatewaySettings,
    contracts=(contracts,),
    taps=(
        tap(events.order_completed),
        tap(events.order_settled),
        tap(events.order_failed),
        tap(events.order_confirmed),
        tap(events.user_notified),
        tap(ended.tokens_ended),
        tap(counting.callers_counted),
        tap(tickets.ticket_used),
    ),
    jobs=(every(auth.ASK_EVERY_S, auth.keep_up), every(TELL_EACH_S, counting.tell_others)),
    routes=(shop, console),
    openapi=docs.config,
    refuses=is_refused,
    dressing=Dressing,
)
