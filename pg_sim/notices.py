"""The PG's notices (webhooks): which a change gives rise to, what stands in one, when it is tried again."""

import secrets
from datetime import datetime, timedelta

import msgspec
from msgspec import Struct

from pg_sim.cards import Manner, manner_of
from pg_sim.payments import SEOUL, Payment, shown
from pg_sim.settings import SimulatorSettings

RETRY_MINUTES = (1, 4, 16, 64, 256, 1024, 4096)
"""The waits before a notice that was not taken is sent again; after the last it is given up."""


class Notice(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One notice on its way to the shop."""

    id: str
    created_at: datetime
    due_at: datetime
    tries: int = 0


def new_notice(now: datetime, delay_s: float = 0.0) -> Notice:
    """A notice that is to be sent once `delay_s` is over."""
    return Notice(id=secrets.token_hex(8), created_at=now, due_at=now + timedelta(seconds=delay_s))


def notices_of(payment: Payment, now: datetime, settings: SimulatorSettings) -> list[Notice]:
    """What the shop is told of a payment that has just changed; of one without a number, nothing."""
    if not payment.order_id or payment.status == "IN_PROGRESS":
        return []
    match manner_of(payment.card):
        case Manner.WEBHOOK_NEVER:
            return []
        case Manner.WEBHOOK_LATE:
            return [new_notice(now, settings.pg_late_s)]
        case Manner.WEBHOOK_TWICE:
            return [new_notice(now), new_notice(now)]
        case _:
            return [new_notice(now)]


def tried_again(notice: Notice, now: datetime, settings: SimulatorSettings) -> Notice | None:
    """The notice as it is to be sent again, after a try that was not answered with 200; None: given up."""
    if notice.tries >= len(RETRY_MINUTES):
        return None
    wait = timedelta(seconds=RETRY_MINUTES[notice.tries] * settings.pg_notice_minute_s)
    return msgspec.structs.replace(notice, due_at=now + wait, tries=notice.tries + 1)


def body(notice: Notice, payment: Payment) -> bytes:
    """What is sent: the payment as it was when the notice was made. Nothing signs it."""
    created = notice.created_at.astimezone(SEOUL).replace(tzinfo=None).isoformat(timespec="microseconds")
    return msgspec.json.encode(
        {"eventType": "PAYMENT_STATUS_CHANGED", "createdAt": created, "data": shown(payment)}
    )
