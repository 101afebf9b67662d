"""What the user service is made of."""

from shared.service import Rank, Service, answer, every, hear
from user_svc import (
    calls,
    contracts,
    deliveries,
    erasure,
    events,
    mailings,
    notifications,
    personal,
    profiles,
    recovery,
    registration,
    roles,
    sessions,
)
from user_svc.settings import UserSettings

LIST = 64
"""One full message: few orders fail, so there is seldom more to tell of at once."""
SIGN_INS = 128
"""More than wait in line for hashing, and far fewer than would keep the database from all else."""

service = Service(
    "user",
    settings=UserSettings,
    contracts=(contracts,),
    models=("user_svc.models",),
    answers=(
        answer(registration.register, most=SIGN_INS),
        answer(calls.login, most=SIGN_INS),
        answer(calls.refresh),
        answer(calls.logout),
        answer(erasure.erase_me, most=SIGN_INS),
        answer(personal.export_user, rank=Rank.COSTLY),
        answer(recovery.ask_password_reset),
        answer(recovery.reset_password, most=SIGN_INS),
        answer(recovery.ask_email_proof),
        answer(recovery.prove_email),
        answer(sessions.list_sign_ins, rank=Rank.LIST),
        answer(sessions.end_sign_in),
        answer(profiles.get_me),
        answer(profiles.change_me),
        answer(roles.set_roles),
        answer(profiles.list_users, rank=Rank.LIST),
        answer(profiles.find_users, rank=Rank.LIST),
        answer(notifications.list_notifications, rank=Rank.LIST),
        answer(notifications.follow),
        answer(notifications.mark_read),
        answer(calls.get_keys),
        answer(calls.rotate_keys),
    ),
    hears=(
        hear(events.tell_of_failures, batch=LIST, once=True),
        hear(events.tell_of_cancellations, batch=LIST, once=True),
        hear(events.tell_of_refunds, batch=LIST, once=True),
        hear(events.tell_of_refunds_in_part, batch=LIST, once=True),
    ),
    jobs=(
        every(2.0, registration.take_up_unfinished),
        every(2.0, deliveries.deliver_due),
        every(2.0, mailings.send_due),
        every(60.0, erasure.sweep_again),
        every(60.0, calls.purge_all_expired),
        every(10.0, calls.seal_keys_anew),
    ),
)
