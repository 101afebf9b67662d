"""Sending notifications outside: from rows, by a job, until it is done or given up.

A row is claimed by moving its next try into the future, so that replicas do not send the same and a process
that dies in the middle leaves it to the others. What is sent in a moment that ends badly may be sent twice.
"""

import re
from datetime import timedelta

from shared.database import Database, Transaction
from shared.logs import log
from user_svc import domain, store
from user_svc.channels import outbound
from user_svc.letters import Channel, Letter, NotSent
from user_svc.models import Delivery
from user_svc.settings import UserSettings
from user_svc.store import Due

AT_ONCE = 10


async def deliver_due(db: Database, settings: UserSettings) -> None:
    """A job: send all that is due, where there is a channel to send it through."""
    channel = outbound(settings)
    if channel is None:
        return
    lease = timedelta(seconds=AT_ONCE * settings.smtp_timeout_s * 2)
    while due := await db.transaction(lambda tx: store.claim_due(tx, AT_ONCE, lease)):
        for one in due:
            await _send(one, channel, db)


async def _send(due: Due, channel: Channel, db: Database) -> None:
    """One try, outside of any transaction, and what is written down about it."""
    delivery = Delivery.filter(notification_id=due.notification_id)

    async def forget(tx: Transaction) -> None:
        await delivery.using_db(tx.models).delete()

    if not due.email:  # its user has had the account deleted
        await db.transaction(forget)
        return
    try:
        await channel.send(_letter(due))
    except NotSent as error:
        pause = None if error.for_good else domain.next_try(due.attempts)
        problem = _without(due.email, str(error))[:300]
        log.info(
            "notification.not_sent", notification=due.notification_id, given_up=pause is None, detail=problem
        )

        async def write_down(tx: Transaction) -> None:
            await delivery.using_db(tx.models).update(
                state="GIVEN_UP" if pause is None else "WAITING",
                due_at=None if pause is None else tx.now + pause,
                last_error=problem,
            )

        await db.transaction(write_down)
    else:
        await db.transaction(forget)


def _letter(due: Due) -> Letter:
    news = domain.News(
        user_id=due.user_id, order_id=due.order_id, kind=due.kind, reason=due.reason, amount=due.amount
    )
    return Letter(
        key=f"notification-{due.notification_id}",
        to=due.email,
        subject=domain.subject(due.kind),
        text=domain.text(news),
    )


def _without(address: str, text: str) -> str:
    """What a mail server said, but not of whom: it goes to logs, and servers like to repeat the address."""
    return re.sub(re.escape(address), "the recipient", text, flags=re.IGNORECASE)
