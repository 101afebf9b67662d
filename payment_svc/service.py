"""What the payment service is made of."""

from payment_svc import calls, cards, contracts, events, paying
from payment_svc.settings import PaymentSettings
from shared.service.service import Service, answer, every, hear

service = Service(
    "payment",
    settings=PaymentSettings,
    models=("payment_svc.models",),
    asks_models=False,
    publishes=(
        contracts.PaymentCaptured,
        contracts.PaymentDeclined,
        contracts.PaymentRefunded,
        contracts.PaymentPartlyRefunded,
        contracts.PaymentKept,
    ),
    answers=(
        answer(contracts.OpenAccount, calls.open_account),
        answer(contracts.GetBalance, calls.get_balance),
        answer(contracts.GetHistory, calls.get_history),
        answer(contracts.GrantPoints, calls.grant_points),
        answer(contracts.BuyPoints, paying.buy_points, again=paying.purchase_as_it_is),
        answer(contracts.GetPurchase, paying.get_purchase),
        answer(contracts.MakeIntent, paying.make_intent),
        answer(contracts.BringKey, calls.bring_key),
        answer(contracts.Pay, paying.pay, again=paying.payment_as_it_is),
        answer(contracts.GetPayment, calls.get_payment),
        answer(contracts.RefundPayment, paying.refund),
        answer(contracts.TakeNotice, calls.take_notice),
        answer(contracts.ListPayments, calls.list_payments),
        answer(contracts.ResolvePayment, calls.resolve),
        answer(contracts.ListAudit, calls.list_audit),
    ),
    hears=(
        hear(events.OrderPlaced, events.capture, batch=128),
        hear(events.ReleasePayment, events.release, batch=128),
        hear(events.ConfirmationRejected, events.refund_rejected, batch=128),
        hear(events.UserRegistrationFailed, events.close_account),
    ),
    jobs=(
        every(0.2, cards.reconcile, name="payments: ask the PG"),
        every(cards.CATCH_UP_S, cards.catch_up, name="payments: read the PG's list"),
        every(15.0, calls.measure, name="payments: measure"),
        every(600.0, calls.purge, name="payment numbers: purge"),
    ),
)
