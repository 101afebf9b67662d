"""What the query service is made of."""

from query_svc import calls, contracts, events, rebuild, told
from shared.service import Service, answer, every, hear_everything

service = Service(
    "query",
    models=("query_svc.models",),
    answers=(
        answer(contracts.FindOrders, calls.find_orders),
        answer(contracts.GetOrderFacts, calls.order_facts),
        answer(contracts.ListEvents, calls.list_events),
        answer(contracts.GetEvent, calls.get_event),
        answer(contracts.GetTimeline, calls.get_timeline),
        answer(contracts.GetRanking, calls.ranking),
        answer(contracts.GetSales, calls.sales),
        answer(contracts.GetLag, calls.lag),
        answer(contracts.RebuildViews, calls.rebuild_views),
    ),
    hears=(
        hear_everything("order", events.take_in, batch=128, reads=told.OF_ORDER),
        hear_everything("item", events.take_in, batch=128, reads=told.OF_ITEM),
        hear_everything("coupon", events.take_in, batch=128, reads=told.OF_COUPON),
        hear_everything("payment", events.take_in, batch=128, reads=told.OF_PAYMENT),
        hear_everything("user", events.take_in, batch=128),
    ),
    jobs=(every(1.0, rebuild.carry_on),),
)
