"""What the user service is made of."""

from shared.service.service import Service, answer, every, hear
from user_svc import calls, contracts, deliveries, events, notifications, profiles, registration
from user_svc.settings import UserSettings

service = Service(
    "user",
    settings=UserSettings,
    models=("user_svc.models",),
    publishes=(contracts.UserRegistered, contracts.UserRegistrationFailed, contracts.UserNotified),
    answers=(
        answer(contracts.Register, registration.register),
        answer(contracts.Login, calls.login),
        answer(contracts.Refresh, calls.refresh),
        answer(contracts.Logout, calls.logout),
        answer(contracts.GetMe, profiles.get_me),
        answer(contracts.ChangeMe, profiles.change_me),
        answer(contracts.ListUsers, profiles.list_users),
        answer(contracts.FindUsers, profiles.find_users),
        answer(contracts.ListNotifications, notifications.list_notifications),
        answer(contracts.FollowNotifications, notifications.follow),
        answer(contracts.ReadNotification, notifications.mark_read),
        answer(contracts.GetKeys, calls.get_keys),
        answer(contracts.RotateKeys, calls.rotate_keys),
    ),
    hears=(
        hear(events.OrderFailed, events.tell_of_failures, batch=64, once=True),
        hear(events.OrderCancelled, events.tell_of_cancellations, batch=64, once=True),
        hear(events.PaymentRefunded, events.tell_of_refunds, batch=64, once=True),
        hear(events.PaymentPartlyRefunded, events.tell_of_refunds_in_part, batch=64, once=True),
    ),
    jobs=(
        every(2.0, registration.take_up_unfinished),
        every(2.0, deliveries.deliver_due),
        every(60.0, calls.purge_expired),
    ),
)
