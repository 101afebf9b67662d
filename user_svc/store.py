"""What user asks of its database in SQL: lists, and rows under locks. All else goes through its models."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from msgspec.structs import replace

from shared.database import Reader, Row, Select, Transaction
from user_svc.contracts import NotificationKind
from user_svc.domain import Failures, MailingKind, News, known_client_key

AT_ONCE = 100
"""How many unfinished sign-ups are taken up at once."""


class Unfinished(Row):
    """A sign-up that is OPENING, and since when."""

    id: int
    created_at: datetime


class KnownUser(Row):
    """A user who is there."""

    id: int


class Counted(Row):
    """Failed tries to sign in, by the key that they are counted under."""

    id: str
    count: int
    last_at: datetime


class Told(NamedTuple):
    """What a user has been told of: there is one notification of it at most."""

    order_id: UUID
    kind: NotificationKind
    part: str


class Numbered(Row):
    """A notification, and what it tells of."""

    id: int
    order_id: UUID
    kind: NotificationKind
    part: str


class Waiting(Row):
    """A delivery that is due."""

    notification_id: int


class Due(Row):
    """A notification that is to be sent now, to whom, and the how-manieth try that is."""

    notification_id: int
    attempts: int
    email: str
    user_id: int
    order_id: UUID
    kind: NotificationKind
    reason: str | None
    amount: int | None


class DueMailing(Row):
    """A letter about an account that is to be sent now, and the how-manieth try that is."""

    id: int
    kind: MailingKind
    email: str
    address_hash: str
    user_id: int | None
    attempts: int


DUE_MAILINGS = Select(
    DueMailing, "FROM mailings WHERE due_at <= %s ORDER BY due_at, id LIMIT %s FOR UPDATE SKIP LOCKED"
)
UNFINISHED = Select(
    Unfinished, "FROM users WHERE due_at <= %s ORDER BY due_at, id LIMIT %s FOR UPDATE SKIP LOCKED"
)
HELD_USERS = Select(KnownUser, "FROM users WHERE id IN %s ORDER BY id FOR UPDATE")
OF_ORDERS = Select(Numbered, "FROM notifications WHERE order_id IN %s")
WAITING = Select(
    Waiting, "FROM deliveries WHERE due_at <= %s ORDER BY due_at LIMIT %s FOR UPDATE SKIP LOCKED"
)
DUE = Select(
    Due,
    "FROM deliveries d JOIN notifications n ON n.id = d.notification_id JOIN users u ON u.id = n.user_id"
    " WHERE d.notification_id IN %s ORDER BY n.id",
    of="n",
    made={"notification_id": "n.id", "attempts": "d.attempts", "email": "u.email"},
)
HELD_ADMINS = Select(KnownUser, "FROM users WHERE role = 'admin' AND state = 'ACTIVE' ORDER BY id FOR UPDATE")
COUNTED = Select(Counted, "FROM sign_in_failures WHERE id IN %s")
HELD_FAILURES = Select(Counted, "FROM sign_in_failures WHERE id IN %s ORDER BY id FOR UPDATE")


# Sign-ups ------------------------------------------------------------------------------------------------


async def take_up(tx: Transaction, user_ids: Collection[int], *, retry_s: float) -> None:
    """Somebody works on these sign-ups now: unless that ends them, they are due again in so many seconds."""
    await tx.write(
        "UPDATE users SET due_at = %s WHERE id IN %s AND state = 'OPENING'",
        (tx.now + timedelta(seconds=retry_s), sorted(user_ids)),
    )


async def claim_unfinished(tx: Transaction, *, retry_s: float) -> list[Unfinished]:
    """Take up sign-ups that nobody has ended by their time; those due longest first."""
    found = await tx.find(UNFINISHED, tx.now, AT_ONCE)
    if found:
        await take_up(tx, [one.id for one in found], retry_s=retry_s)
    return found


# Roles -----------------------------------------------------------------------------------------------------


async def lock_admins(tx: Transaction) -> set[int]:
    """Every admin who may sign in, held until the commit."""
    return {admin.id for admin in await tx.find(HELD_ADMINS)}


# Sign-ins that fail --------------------------------------------------------------------------------------


async def failures(reader: Reader, keys: Collection[str]) -> dict[str, Failures]:
    """The failed tries counted under some throttle keys, where there are any."""
    [found] = await reader.ask(COUNTED.among(set(keys)))
    return _by_key(found)


async def hold_failures(tx: Transaction, keys: Collection[str]) -> None:
    """Hold what is counted under some keys until the commit, where there is something."""
    await tx.ask(HELD_FAILURES.among(set(keys)))


async def lock_failures(tx: Transaction, keys: Collection[str]) -> dict[str, Failures]:
    """The failed tries counted under throttle keys, held until the commit, also where there are none yet.

    A row that is not there cannot be held: of guesses made at once, several would each be the first. Here the
    insert makes it or holds it, exclusively from the start and in the order of the keys, so that two can
    never wait for each other.
    """
    await tx.write_many(
        "INSERT INTO sign_in_failures (id, count, last_at) VALUES (%s, 0, %s)"
        " ON DUPLICATE KEY UPDATE count = count",
        [(key, tx.now) for key in sorted(keys)],
    )
    [found] = await tx.ask(HELD_FAILURES.among(set(keys)))
    return _by_key(found)


async def keep_failures(tx: Transaction, counted: Mapping[str, Failures]) -> None:
    """Write down the counts of keys that are held."""
    await tx.write_many(
        "INSERT INTO sign_in_failures (id, count, last_at) VALUES (%s, %s, %s)"
        " ON DUPLICATE KEY UPDATE count = VALUES(count), last_at = VALUES(last_at)",
        [(key, one.count, one.last_at) for key, one in sorted(counted.items())],
    )


async def remember_client(tx: Transaction, user_id: int, client: str) -> None:
    """The user has signed in from this client just now."""
    await tx.write(
        "INSERT INTO known_clients (id, user_id, last_at) VALUES (%s, %s, %s)"
        " ON DUPLICATE KEY UPDATE last_at = VALUES(last_at)",
        (known_client_key(user_id, client), user_id, tx.now),
    )


def _by_key(found: Sequence[Counted]) -> dict[str, Failures]:
    return {one.id: Failures(one.count, one.last_at) for one in found}


# Notifications -------------------------------------------------------------------------------------------


async def hold_users(tx: Transaction, user_ids: Collection[int]) -> set[int]:
    """Those of some users that there are, held until the commit."""
    [held] = await tx.ask(HELD_USERS.among(set(user_ids)))
    return {user.id for user in held}


async def told_of(tx: Transaction, order_ids: Collection[UUID]) -> dict[Told, int]:
    """What has been told of these orders, with the numbers of the notifications."""
    [found] = await tx.ask(OF_ORDERS.among(set(order_ids)))
    return {Told(one.order_id, one.kind, one.part): one.id for one in found}


async def add_notifications(tx: Transaction, news: Collection[News]) -> None:
    """Write down what users are told."""
    await tx.write_many(
        "INSERT INTO notifications (user_id, order_id, kind, part, reason, amount, created_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s)",
        [(one.user_id, one.order_id, one.kind, one.part, one.reason, one.amount, tx.now) for one in news],
    )


async def ask_for_delivery(tx: Transaction, notification_ids: Collection[int]) -> None:
    """These notifications are to be sent; asked for again, what waits or was given up is tried at once."""
    await tx.write_many(
        "INSERT INTO deliveries (notification_id, state, due_at, attempts) VALUES (%s, 'WAITING', %s, 0)"
        " ON DUPLICATE KEY UPDATE state = VALUES(state), due_at = VALUES(due_at), attempts = 0",
        [(number, tx.now) for number in notification_ids],
    )


async def claim_due(tx: Transaction, most: int, lease: timedelta) -> Sequence[Due]:
    """Take up deliveries that are due: nobody else does, until the lease has run out."""
    claimed = await tx.find(WAITING, tx.now, most)
    if not claimed:
        return []
    ids = sorted(one.notification_id for one in claimed)
    await tx.write(
        "UPDATE deliveries SET due_at = %s, attempts = attempts + 1 WHERE notification_id IN %s",
        (tx.now + lease, ids),
    )
    return await tx.find(DUE, ids)


# Letters about accounts ----------------------------------------------------------------------------------


async def claim_mailings(tx: Transaction, most: int, lease: timedelta) -> list[DueMailing]:
    """Take up letters that are due: nobody else does, until the lease has run out."""
    claimed = await tx.find(DUE_MAILINGS, tx.now, most)
    if claimed:
        await tx.write(
            "UPDATE mailings SET due_at = %s, attempts = attempts + 1 WHERE id IN %s",
            (tx.now + lease, sorted(one.id for one in claimed)),
        )
    return [replace(one, attempts=one.attempts + 1) for one in claimed]
