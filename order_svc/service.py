"""What the order service is made of."""

from order_svc import calls, contracts, events, overdue, sweeps
from order_svc.settings import OrderSettings
from shared.service.service import Service, answer, every, hear

LIST = 128

service = Service(
    "order",
    settings=OrderSettings,
    models=("order_svc.models",),
    asks_models=False,
    publishes=(
        contracts.OrderPlaced,
        contracts.ReleaseItem,
        contracts.ReleaseCoupon,
        contracts.ReleasePayment,
        contracts.OrderCompleted,
        contracts.OrderConfirmed,
        contracts.ConfirmationRejected,
        contracts.OrderFailed,
        contracts.OrderCancelled,
        contracts.OrderSettled,
    ),
    answers=(
        answer(contracts.PlaceOrder, calls.place_orders, batch=LIST, again=calls.as_it_is_now),
        answer(contracts.GetOrder, calls.get_orders, batch=LIST),
        answer(contracts.ListOrders, calls.list_orders),
        answer(contracts.CancelOrder, calls.cancel_order),
        answer(contracts.GetPaymentDue, calls.get_payment_due),
        answer(contracts.ListOverdue, overdue.list_overdue),
    ),
    hears=(
        hear(events.StockReserved, events.hear_answers, batch=2 * LIST),
        hear(events.CouponApplied, events.hear_answers, batch=2 * LIST),
        hear(events.PaymentCaptured, events.hear_answers, batch=2 * LIST),
        hear(events.StockRejected, events.hear_answers, batch=2 * LIST),
        hear(events.CouponRejected, events.hear_answers, batch=2 * LIST),
        hear(events.PaymentDeclined, events.hear_answers, batch=2 * LIST),
        hear(events.StockReleased, events.hear_answers, batch=2 * LIST),
        hear(events.CouponReleased, events.hear_answers, batch=2 * LIST),
        hear(events.PaymentRefunded, events.hear_answers, batch=2 * LIST),
        hear(events.PaymentKept, events.hear_answers, batch=2 * LIST),
        hear(events.PaymentPartlyRefunded, events.hear_answers, batch=2 * LIST),
    ),
    jobs=(
        every(0.5, sweeps.fail_overdue),
        every(1.0, sweeps.release_again),
        every(2.0, sweeps.end_waiting_for_ever),
    ),
)
