"""What the payment service is made of."""

from payment_svc import calls, contracts, events
from payment_svc.settings import PaymentSettings
from shared.service import Service, answer, hear

service = Service(
    "payment",
    settings=PaymentSettings,
    models=("payment_svc.models",),
    publishes=(contracts.PaymentCaptured, contracts.PaymentDeclined, contracts.PaymentRefunded),
    answers=(
        answer(contracts.OpenAccount, calls.open_account),
        answer(contracts.GetBalance, calls.get_balance),
        answer(contracts.Charge, calls.charge),
        answer(contracts.GetHistory, calls.get_history),
    ),
    hears=(
        hear(events.OrderPlaced, events.capture_points, batch=64),
        hear(events.ReleasePayment, events.refund, batch=64),
        hear(events.UserRegistrationFailed, events.close_account),
    ),
)
