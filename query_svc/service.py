"""What the query service is made of."""

from query_svc import events
from shared.service import Service, hear_everything

PUBLISHERS = ("order", "item", "coupon", "payment", "user")

service = Service(
    "query",
    models=("query_svc.models",),
    hears=tuple(hear_everything(name, events.take_in, batch=256) for name in PUBLISHERS),
)
