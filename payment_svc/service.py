"""What the payment service is made of."""

from payment_svc import calls, cards, contracts, events, paying, personal
from payment_svc.settings import PaymentSettings
from shared.service import Rank, Service, answer, every, hear

LIST = 128
"""Two full messages of 64 events. Beyond 64 no order gets cheaper; but with lists of up to 128 the shop
keeps 0.94 of its orders/s, not 0.86, when every service has a second replica on the same cores."""

service = Service(
    "payment",
    settings=PaymentSettings,
    contracts=(contracts,),
    models=("payment_svc.models",),
    asks_models=False,
    answers=(
        answer(personal.export_user, rank=Rank.COSTLY),
        answer(calls.open_account),
        answer(calls.get_balance),
        answer(calls.get_history, rank=Rank.LIST),
        answer(calls.grant_points),
        answer(paying.buy_points, again=paying.purchase_as_it_is),
        answer(paying.get_purchase),
        answer(paying.make_intent),
        answer(calls.bring_key, rank=Rank.FIRST),
        answer(paying.pay, again=paying.payment_as_it_is, rank=Rank.FIRST),
        answer(calls.get_payment),
        answer(paying.refund),
        answer(calls.take_notice),
        answer(calls.list_payments, rank=Rank.LIST),
        answer(calls.resolve),
        answer(calls.list_audit, rank=Rank.LIST),
    ),
    hears=(
        hear(events.capture, batch=LIST, touches=events.rows_of_order),
        hear(events.release, batch=LIST, touches=events.rows_of_release),
        hear(events.refund_rejected, batch=LIST, touches=events.rows_of_rejected),
        hear(events.close_account),
        hear(personal.forget_user),
    ),
    jobs=(
        every(0.2, cards.reconcile, name="payments: ask the PG"),
        every(cards.CATCH_UP_S, cards.catch_up, name="payments: read the PG's list"),
        every(15.0, calls.measure, name="payments: measure"),
        every(600.0, calls.purge, name="payment numbers: purge"),
    ),
)
