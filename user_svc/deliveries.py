"""Sending notifications outside: from rows, by a job, until it is done or given up.

A row is claimed by moving its next try into the future, so that replicas do not send the same and a process
that dies in the middle leaves it to the others. What is sent in a moment that ends badly may be sent twice.
"""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from shared.database import Database, Transaction
from shared.logs import log
from user_svc import domain
from user_svc.channels import outbound
from user_svc.letters import Channel, Letter, NotSent
from user_svc.settings import UserSettings

AT_ONCE = 10


class Due(NamedTuple):
    """A notification to be sent now, and the how-manieth try that is."""

    notification_id: int
    attempts: int
    letter: Letter


async def ask_for(tx: Transaction, notification_ids: Sequence[int]) -> None:
    """These notifications are to be sent; asked for again, what waits or was given up is tried at once."""
    await tx.write_many(
        "INSERT INTO deliveries (notification_id, state, due_at, attempts) VALUES (%s, 'WAITING', %s, 0)"
        " ON DUPLICATE KEY UPDATE state = VALUES(state), due_at = VALUES(due_at), attempts = 0",
        [(number, tx.now) for number in notification_ids],
    )


async def _put_off(tx: Transaction, notification_id: int, until: datetime, problem: str) -> None:
    await tx.write(
        "UPDATE deliveries SET state = 'WAITING', due_at = %s, last_error = %s WHERE notification_id = %s",
        (until, problem, notification_id),
    )


async def _give_up(tx: Transaction, notification_id: int, problem: str) -> None:
    await tx.write(
        "UPDATE deliveries SET state = 'GIVEN_UP', due_at = NULL, last_error = %s WHERE notification_id = %s",
        (problem, notification_id),
    )


async def deliver_due(db: Database, settings: UserSettings) -> None:
    """A job: send all that is due, where there is a channel to send it through."""
    channel = outbound(settings)
    if channel is None:
        return
    lease = timedelta(seconds=AT_ONCE * settings.smtp_timeout_s * 2)
    while due := await db.transaction(lambda tx: _claim(tx, lease)):
        for one in due:
            await _send(one, channel, db)


async def _claim(tx: Transaction, lease: timedelta) -> list[Due]:
    claimed = await tx.rows(
        "SELECT notification_id FROM deliveries WHERE due_at <= %s ORDER BY due_at LIMIT %s"
        " FOR UPDATE SKIP LOCKED",
        (tx.now, AT_ONCE),
    )
    if not claimed:
        return []
    ids = sorted(row[0] for row in claimed)
    await tx.write(
        "UPDATE deliveries SET due_at = %s, attempts = attempts + 1 WHERE notification_id IN %s",
        (tx.now + lease, ids),
    )
    rows = await tx.rows(
        "SELECT n.id, d.attempts, u.email, n.user_id, n.order_id, n.kind, n.reason, n.amount"
        " FROM deliveries d JOIN notifications n ON n.id = d.notification_id JOIN users u ON u.id = n.user_id"
        " WHERE d.notification_id IN %s ORDER BY n.id",
        (ids,),
    )
    due: list[Due] = []
    for number, attempts, email, user_id, order_id, kind, reason, amount in rows:
        news = domain.News(user_id=user_id, order_id=UUID(order_id), kind=kind, reason=reason, amount=amount)
        letter = Letter(
            key=f"notification-{number}", to=email, subject=domain.subject(kind), text=domain.text(news)
        )
        due.append(Due(number, attempts, letter))
    return due


async def _send(due: Due, channel: Channel, db: Database) -> None:
    """One try, outside of any transaction, and what is written down about it."""
    try:
        await channel.send(due.letter)
    except NotSent as error:
        pause = None if error.for_good else domain.next_try(due.attempts)
        problem = _without(due.letter.to, str(error))[:300]
        log.info(
            "notification.not_sent", notification=due.notification_id, given_up=pause is None, detail=problem
        )

        async def write_down(tx: Transaction) -> None:
            if pause is None:
                await _give_up(tx, due.notification_id, problem)
            else:
                await _put_off(tx, due.notification_id, tx.now + pause, problem)

        await db.transaction(write_down)
        return
    await db.execute("DELETE FROM deliveries WHERE notification_id = %s", (due.notification_id,))


def _without(address: str, text: str) -> str:
    """What a mail server said, but not of whom: it goes to logs, and servers like to repeat the address."""
    return re.sub(re.escape(address), "the recipient", text, flags=re.IGNORECASE)
