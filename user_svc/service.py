"""What the user service is made of."""

from shared.service import Service, answer, every
from user_svc import calls, contracts, registration
from user_svc.settings import UserSettings

service = Service(
    "user",
    settings=UserSettings,
    models=("user_svc.models",),
    publishes=(contracts.UserRegistered, contracts.UserRegistrationFailed),
    answers=(
        answer(contracts.Register, registration.register),
        answer(contracts.Login, calls.login),
        answer(contracts.Refresh, calls.refresh),
        answer(contracts.Logout, calls.logout),
        answer(contracts.GetMe, calls.get_me),
        answer(contracts.GetKeys, calls.get_keys),
    ),
    jobs=(
        every(2.0, registration.take_up_unfinished),
        every(60.0, calls.purge_expired),
    ),
)
