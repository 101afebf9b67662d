"""Notifications: one for each order and kind, in an order to be followed, and mailed where mail is on."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast
from uuid import UUID

import pytest
import structlog
from aiosmtpd.smtp import SMTP, Envelope, Session

from shared.database.units import Database
from shared.errors import NotFound
from shared.ids import new_id
from tests.support.databases import Heard
from user_svc import deliveries, events, notifications, store
from user_svc.contracts import (
    FollowNotifications,
    ListNotifications,
    NewNotifications,
    Notification,
    ReadNotification,
    UserNotified,
)
from user_svc.settings import UserSettings

SETTINGS = UserSettings()


@pytest.fixture(autouse=True)
async def _people(db: Database) -> None:
    for number in (2, 3):
        await db.execute(
            "INSERT INTO users (id, email, email_key, name, address, password_hash, role, state, created_at)"
            " VALUES (%s, %s, %s, 'Kim', 'Seoul', '-', 'customer', 'ACTIVE', '2026-01-31')",
            (number, f"kim{number}@mail.example", f"kim{number}@mail.example"),
        )


def _failed(order_id: UUID, reason: str = "out_of_stock", buyer_id: int = 2) -> events.OrderFailed:
    return events.OrderFailed(order_id=order_id, buyer_id=buyer_id, reason=reason)


def _cancelled(order_id: UUID, reason: str = "out_of_stock", buyer_id: int = 2) -> events.OrderCancelled:
    return events.OrderCancelled(order_id=order_id, buyer_id=buyer_id, reason=reason)


def _refunded(
    order_id: UUID, payment_id: UUID, amount: int, user_id: int | None = 2
) -> events.PaymentRefunded:
    return events.PaymentRefunded(order_id=order_id, payment_id=payment_id, user_id=user_id, amount=amount)


def _in_part(order_id: UUID, payment_id: UUID, amount: int, refunded: int) -> events.PaymentPartlyRefunded:
    return events.PaymentPartlyRefunded(
        order_id=order_id, payment_id=payment_id, user_id=2, amount=amount, refunded=refunded
    )


async def _hear(db: Database, *heard: Any, settings: UserSettings = SETTINGS) -> None:
    """Each event alone, in this order."""
    for event in heard:
        handler = {
            events.OrderFailed: events.tell_of_failures,
            events.OrderCancelled: events.tell_of_cancellations,
            events.PaymentRefunded: events.tell_of_refunds,
            events.PaymentPartlyRefunded: events.tell_of_refunds_in_part,
        }[type(event)]
        await db.transaction(lambda tx, handler=handler, event=event: handler([event], tx, settings))


async def _all(db: Database, user_id: int = 2) -> list[Notification]:
    call = ListNotifications(user_id=user_id)
    return (await db.read(lambda r: notifications.list_notifications(call, r))).items


async def _follow(db: Database, after: int | None, limit: int = 50) -> NewNotifications:
    call = FollowNotifications(user_id=2, after=after, limit=limit)
    return await db.read(lambda r: notifications.follow(call, r))


async def test_a_failure_and_its_end_are_one_piece_of_news_in_either_order(
    db: Database, heard: Heard
) -> None:
    first, second = new_id(), new_id()
    await _hear(db, _failed(first), _cancelled(first), _cancelled(second), _failed(second), _failed(second))
    assert [(one.order_id, one.kind, one.reason) for one in await _all(db)] == [
        (second, "order_failed", "out_of_stock"),
        (first, "order_failed", "out_of_stock"),
    ]
    assert heard.events == [
        UserNotified(user_id=2, order_id=first, kind="order_failed"),
        UserNotified(user_id=2, order_id=second, kind="order_failed"),
    ]


async def test_a_refund_is_news_beside_the_cancellation(db: Database) -> None:
    order_id = new_id()
    refund = _refunded(order_id, new_id(), 49_800)
    await _hear(db, _failed(order_id, "cancelled_by_admin"), refund, refund)
    assert [(one.kind, one.amount) for one in await _all(db)] == [
        ("payment_refunded", 49_800),
        ("order_cancelled", None),
    ]


async def test_every_refund_in_part_is_news_once_and_so_is_the_rest(
    db: Database, heard: Heard, inbox: tuple["Inbox", UserSettings]
) -> None:
    order_id, payment_id = new_id(), new_id()
    first, second = _in_part(order_id, payment_id, 1000, 1000), _in_part(order_id, payment_id, 1000, 2000)
    rest = _refunded(order_id, payment_id, 47_800)
    await _hear(db, second, first, second, rest, first, rest, settings=inbox[1])
    found = await _all(db)
    assert [(one.kind, one.amount) for one in found] == [
        ("payment_refunded", 47_800),
        ("payment_partly_refunded", 1000),
        ("payment_partly_refunded", 1000),
    ]
    assert [one.text for one in found[:2]] == [
        f"Your payment for order {order_id} was refunded: 47,800 won.",
        f"A part of your payment for order {order_id} was refunded: 1,000 won.",
    ]
    assert [told.kind for told in heard.of(UserNotified)] == [one.kind for one in reversed(found)]
    await deliveries.deliver_due(db, inbox[1])
    assert len(inbox[0].letters) == 3


async def test_parts_in_one_list_and_in_lists_at_once_are_each_told_once(db: Database) -> None:
    order_id, payment_id = new_id(), new_id()
    parts = [_in_part(order_id, payment_id, 10, 10 * number) for number in range(1, 6)]
    await asyncio.gather(
        *(
            db.transaction(lambda tx: events.tell_of_refunds_in_part([*parts, *parts], tx, SETTINGS))
            for _ in range(5)
        )
    )
    assert len(await _all(db)) == 5


async def test_refunds_of_two_payments_of_an_order_are_two(db: Database) -> None:
    order_id, first, second = new_id(), new_id(), new_id()
    twice = [_refunded(order_id, first, 500), _refunded(order_id, second, 500)]
    await _hear(db, *twice, *twice)
    assert [one.amount for one in await _all(db)] == [500, 500]


async def test_a_refund_that_was_told_before_refunds_had_parts_is_not_told_again(db: Database) -> None:
    refund = _refunded(new_id(), new_id(), 500)
    await _hear(db, refund)
    await db.execute("UPDATE notifications SET part = ''")
    await _hear(db, refund)
    assert len(await _all(db)) == 1


async def test_where_nothing_was_paid_nothing_is_told(db: Database, heard: Heard) -> None:
    await _hear(
        db,
        _refunded(new_id(), new_id(), 0),
        _refunded(new_id(), new_id(), 0, user_id=None),
        _failed(new_id(), buyer_id=99),
    )
    assert await _all(db) == []
    assert heard.events == []


async def test_lists_that_overlap_at_once_tell_once(db: Database, heard: Heard) -> None:
    orders = [new_id() for _ in range(20)]
    lists = [[_failed(one, buyer_id=2 + number % 2) for number, one in enumerate(orders)] for _ in range(6)]
    await asyncio.gather(
        *(db.transaction(lambda tx, some=some: events.tell_of_failures(some, tx, SETTINGS)) for some in lists)
    )
    assert len(await _all(db)) + len(await _all(db, 3)) == 20
    assert len(heard.of(UserNotified)) == 20


async def test_who_follows_misses_nothing_while_many_tell(db: Database) -> None:
    seen: list[int] = []
    place = (await _follow(db, None)).last
    done = asyncio.Event()

    async def read_on() -> None:
        nonlocal place
        while True:
            last_look = done.is_set()
            new = await _follow(db, place, limit=3)
            seen.extend(one.id for one in new.items)
            place = new.last
            if last_look and not new.items:
                return

    async with asyncio.TaskGroup() as both:
        both.create_task(read_on())
        await asyncio.gather(*(_hear(db, _failed(new_id()), _failed(new_id())) for _ in range(15)))
        done.set()
    assert seen == sorted(one.id for one in await _all(db))
    assert len(seen) == 30
    assert (await _follow(db, None)).items == []
    assert (await _follow(db, None)).last == seen[-1]


async def test_pages_are_newest_first(db: Database) -> None:
    await _hear(db, *(_failed(new_id()) for _ in range(5)))
    seen: list[int] = []
    after = None
    while True:
        call = ListNotifications(user_id=2, limit=2, after=after)
        page = await db.read(lambda r, call=call: notifications.list_notifications(call, r))
        seen += [one.id for one in page.items]
        if page.next is None:
            break
        after = page.next
    assert seen == sorted(seen, reverse=True)
    assert len(seen) == 5


async def test_what_is_read_was_read_then_and_by_its_owner(db: Database) -> None:
    await _hear(db, _failed(new_id()))
    number = (await _all(db))[0].id

    async def read(user_id: int, notification_id: int) -> Notification:
        call = ReadNotification(user_id=user_id, notification_id=notification_id)
        return await db.transaction(lambda tx: notifications.mark_read(call, tx))

    for user_id, notification_id in ((3, number), (2, number + 1)):
        with pytest.raises(NotFound):
            await read(user_id, notification_id)
    assert (await _all(db))[0].read_at is None
    first = await read(2, number)
    assert first.read_at is not None
    assert await read(2, number) == first


class Inbox:
    """What a mail server does with letters: takes them, or answers as it is told to."""

    def __init__(self) -> None:
        self.letters: list[Envelope] = []
        self.answers: list[str] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if self.answers:
            return self.answers.pop(0)
        self.letters.append(envelope)
        return "250 taken"


@pytest.fixture
async def inbox() -> AsyncIterator[tuple[Inbox, UserSettings]]:
    """A mail server, and settings that name it."""
    inbox = Inbox()
    server = await asyncio.get_running_loop().create_server(lambda: SMTP(inbox), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield inbox, UserSettings(smtp_url=f"smtp://127.0.0.1:{port}", smtp_timeout_s=5)


async def _waiting(db: Database) -> list[tuple[Any, ...]]:
    return await db.read(lambda r: r.rows("SELECT attempts, due_at, last_error FROM deliveries"))


async def _delivery_states(db: Database) -> list[str]:
    return [row[0] for row in await db.read(lambda r: r.rows("SELECT state FROM deliveries"))]


async def test_a_notification_is_mailed_once_though_several_try(
    db: Database, inbox: tuple[Inbox, UserSettings]
) -> None:
    server, settings = inbox
    order_id = new_id()
    await _hear(db, _failed(order_id), _failed(order_id), settings=settings)
    await asyncio.gather(*(deliveries.deliver_due(db, settings) for _ in range(3)))
    assert len(server.letters) == 1
    letter = server.letters[0]
    content = cast(bytes, letter.content).decode()
    assert letter.rcpt_tos == ["kim2@mail.example"]
    assert "Subject: Your order could not be fulfilled" in content
    assert str(order_id) in content
    assert f"Message-ID: <notification-{(await _all(db))[0].id}@sagamart.local>" in content
    assert await _waiting(db) == []


async def test_mail_is_off_by_default(db: Database, inbox: tuple[Inbox, UserSettings]) -> None:
    await _hear(db, _failed(new_id()))
    await deliveries.deliver_due(db, SETTINGS)
    await deliveries.deliver_due(db, inbox[1])
    assert inbox[0].letters == []


async def test_what_cannot_be_sent_now_is_sent_later(db: Database, inbox: tuple[Inbox, UserSettings]) -> None:
    server, settings = inbox
    server.answers.append("451 come back later")
    await _hear(db, _failed(new_id()), settings=settings)
    await deliveries.deliver_due(db, settings)
    await deliveries.deliver_due(db, settings)
    [(attempts, due_at, error)] = await _waiting(db)
    assert (attempts, due_at is not None) == (1, True)
    assert "come back later" in error
    await db.execute("UPDATE deliveries SET due_at = '2026-01-01'")
    await deliveries.deliver_due(db, settings)
    assert len(server.letters) == 1


async def test_what_is_refused_for_good_is_given_up(db: Database, inbox: tuple[Inbox, UserSettings]) -> None:
    server, settings = inbox
    server.answers.append("554 never")
    await _hear(db, _failed(new_id()), settings=settings)
    number = (await _all(db))[0].id
    for _ in range(2):
        await deliveries.deliver_due(db, settings)
    [(attempts, due_at, error)] = await _waiting(db)
    assert (attempts, due_at) == (1, None)
    assert "never" in error
    assert await _delivery_states(db) == ["GIVEN_UP"]
    await db.transaction(lambda tx: store.ask_for_delivery(tx, [number]))
    assert await _delivery_states(db) == ["WAITING"]
    await deliveries.deliver_due(db, settings)
    assert len(server.letters) == 1


async def test_the_address_of_a_letter_that_was_refused_is_in_no_log(
    db: Database, inbox: tuple[Inbox, UserSettings]
) -> None:
    server, settings = inbox
    server.answers.append("554 <Kim2@mail.example>: kim2@mail.example does not live here")
    await _hear(db, _failed(new_id()), settings=settings)
    with structlog.testing.capture_logs() as logs:
        await deliveries.deliver_due(db, settings)
    [(_, _, error)] = await _waiting(db)
    [told] = [line for line in logs if line["event"] == "notification.not_sent"]
    assert "does not live here" in told["detail"]
    assert "kim2" not in f"{error} {logs}".lower()


async def test_the_table_refuses_a_delivery_that_nobody_would_try(db: Database) -> None:
    await db.transaction(lambda tx: store.ask_for_delivery(tx, [1]))
    with pytest.raises(Exception, match=r"(?i)constraint.*a_waiting_delivery_is_due"):
        await db.execute("UPDATE deliveries SET due_at = NULL")


async def test_a_mail_server_that_is_away_costs_nothing_but_time(db: Database) -> None:
    settings = UserSettings(smtp_url="smtp://127.0.0.1:1", smtp_timeout_s=1)
    await _hear(db, _failed(new_id()), settings=settings)
    await deliveries.deliver_due(db, settings)
    [(attempts, due_at, _)] = await _waiting(db)
    assert (attempts, due_at is not None) == (1, True)
