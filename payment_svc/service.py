"""What the payment service is made of."""

from payment_svc import calls, cards, contracts, events
from payment_svc.settings import PaymentSettings
from shared.service import Service, answer, every, hear

service = Service(
    "payment",
    settings=PaymentSettings,
    models=("payment_svc.models",),
    asks_models=False,
    publishes=(contracts.PaymentCaptured, contracts.PaymentDeclined, contracts.PaymentRefunded),
    answers=(
        answer(contracts.OpenAccount, calls.open_account),
        answer(contracts.GetBalance, calls.get_balance),
        answer(contracts.Charge, calls.charge),
        answer(contracts.GetHistory, calls.get_history),
        answer(contracts.Pay, calls.pay),
        answer(contracts.GetPayment, calls.get_payment),
        answer(contracts.RefundPayment, calls.refund),
        answer(contracts.TakeNotice, calls.take_notice),
    ),
    hears=(
        hear(events.OrderPlaced, events.capture, batch=128),
        hear(events.ReleasePayment, events.release, batch=128),
        hear(events.ConfirmationRejected, events.refund_rejected, batch=128),
        hear(events.UserRegistrationFailed, events.close_account),
    ),
    jobs=(every(0.5, cards.reconcile),),
)
