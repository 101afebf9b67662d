"""What the query service is made of."""

from query_svc import audit, calls, contracts, events, facts, personal, rebuild
from query_svc.dead_letters import calls as dead_letters
from query_svc.dead_letters import contracts as dead_letter_contracts
from query_svc.dead_letters import jobs as dead_letter_jobs
from query_svc.dead_letters.office import DeadLetterOffice
from shared.service import Rank, Service, answer, every, hear_everything

LIST = 512
"""Long lists, since the events of one order then mostly come in one, and its view is written once."""
REPORTS = 16
"""Figures and exports at once: each reads much, and the events of orders must not wait for them."""

service = Service(
    "query",
    background=True,
    contracts=(contracts, dead_letter_contracts),
    models=("query_svc.models", "query_svc.dead_letters.models"),
    asks_models=False,
    answers=(
        answer(personal.export_user, rank=Rank.COSTLY),
        answer(calls.find_orders, rank=Rank.LIST),
        answer(calls.order_facts),
        answer(calls.list_events, rank=Rank.COSTLY, most=REPORTS),
        answer(calls.get_event),
        answer(calls.get_timeline),
        answer(calls.ranking, rank=Rank.COSTLY, most=REPORTS),
        answer(calls.sales, rank=Rank.COSTLY, most=REPORTS),
        answer(calls.lag),
        answer(calls.rebuild_views),
        answer(dead_letters.list_groups, rank=Rank.LIST),
        answer(dead_letters.list_letters, rank=Rank.LIST),
        answer(dead_letters.get_letter),
        answer(dead_letters.count_letters),
        answer(dead_letters.redrive),
        answer(dead_letters.discard),
        answer(dead_letters.list_audit, rank=Rank.LIST),
        answer(dead_letters.record_action),
    ),
    hears=(
        hear_everything("order", events.take_in, batch=LIST, reads=(*facts.OF_ORDER, audit.OrderAudited)),
        hear_everything("item", events.take_in, batch=LIST, reads=(*facts.OF_ITEM, audit.ItemAudited)),
        hear_everything("coupon", events.take_in, batch=LIST, reads=(*facts.OF_COUPON, audit.CouponAudited)),
        hear_everything("payment", events.take_in, batch=LIST, reads=facts.OF_PAYMENT),
        hear_everything("user", events.take_in, batch=LIST, reads=(audit.UserAudited,)),
    ),
    jobs=(
        every(1.0, rebuild.carry_on),
        every(2.0, dead_letter_jobs.learn_queues),
        every(0.3, dead_letter_jobs.fetch),
        every(0.3, dead_letter_jobs.send_back),
    ),
    attachments=(DeadLetterOffice,),
)
