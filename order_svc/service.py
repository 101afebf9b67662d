"""What the order service is made of."""

from order_svc import calls, contracts, events, overdue, personal, sweeps
from order_svc.settings import OrderSettings
from shared.service import Rank, Service, answer, every, hear

LIST = 128
"""Calls in a list, as many as two full messages bring events. Beyond 64 no order gets cheaper; but with lists
of up to 128 the shop keeps 0.94 of its orders/s, not 0.86, when each service has a second replica on the same
cores. Answers come two an order, from item and coupon: in lists of twice as many they mostly meet, and the
order is loaded and saved once for both (1,703 to 1,326 microseconds an order)."""

service = Service(
    "order",
    settings=OrderSettings,
    contracts=(contracts,),
    models=("order_svc.models",),
    asks_models=False,
    answers=(
        answer(personal.export_user, rank=Rank.COSTLY),
        answer(personal.count_unsettled),
        answer(calls.place_orders, batch=LIST, again=calls.as_it_is_now, rank=Rank.FIRST),
        answer(calls.get_orders, batch=LIST),
        answer(calls.list_orders, rank=Rank.LIST),
        answer(calls.cancel_order, rank=Rank.FIRST),
        answer(calls.get_payment_due, rank=Rank.FIRST),
        answer(overdue.list_overdue, rank=Rank.LIST),
    ),
    hears=(
        hear(events.hear_answers, batch=2 * LIST, touches=events.rows_of_answer),
        hear(personal.forget_user),
    ),
    jobs=(
        every(0.5, sweeps.fail_overdue),
        every(1.0, sweeps.release_again),
        every(2.0, sweeps.end_waiting_for_ever),
    ),
)
