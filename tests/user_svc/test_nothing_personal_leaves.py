"""What a user tells the shop about himself stays in the user service's tables: no event or log bears it."""

import logging
from typing import Any, cast

import msgspec
import pytest
import structlog

from shared.database.units import Database
from shared.errors import Conflict, OutcomeUnknown, Unauthorized, Unavailable
from shared.events.outbox import Outbox
from shared.ids import new_id
from shared.rpc import Rpc
from tests.support.databases import whole
from tests.user_svc.test_notifications import Inbox, inbox
from tests.user_svc.test_registration import Payment
from user_svc import calls, deliveries, events, profiles, registration
from user_svc.contracts import ChangeMe, Login, Logout, Refresh, Register
from user_svc.settings import UserSettings

__all__ = ["inbox"]

EMAIL, NAME, ADDRESS = "Soojin.Park@mail.example", "Soojin Park", "12 Dosan-daero, Gangnam"
PASSWORD, NEXT_PASSWORD = "correct horse battery", "staple of correctness"
PERSONAL = [EMAIL, NAME, ADDRESS, PASSWORD, NEXT_PASSWORD, "198.51.100.77"]


async def _live(db: Database, settings: UserSettings, server: Inbox) -> None:
    """All that a user can do, and all that goes wrong with it."""
    payment = Payment()
    rpc = cast(Rpc, payment)

    async def register(*troubles: Any, request_id: Any = None) -> None:
        payment.troubles += [(trouble, False) for trouble in troubles]
        call = Register(
            request_id=request_id or new_id(), email=EMAIL, name=NAME, address=ADDRESS, password=PASSWORD
        )
        await registration.register(call, db, rpc, settings)

    request_id = new_id()
    with pytest.raises(Unavailable):
        await register(Unavailable("away"))
    with pytest.raises(OutcomeUnknown):
        await register(OutcomeUnknown("lost"), request_id=request_id)
    await register(request_id=request_id)
    with pytest.raises(Conflict):
        await register()
    [(user_id,)] = await db.read(lambda reader: reader.rows("SELECT id FROM users"))
    signed_in = Login(email=EMAIL, password=PASSWORD, client="198.51.100.77")
    with pytest.raises(Unauthorized):
        await calls.login(msgspec.structs.replace(signed_in, password=NEXT_PASSWORD), db, settings)
    tokens = await calls.login(signed_in, db, settings)
    again = Refresh(request_id=new_id(), refresh_token=tokens.refresh_token)
    tokens = await calls.refresh(again, db, settings)
    change = ChangeMe(user_id=user_id, password=NEXT_PASSWORD, current_password=PASSWORD, name=NAME)
    await profiles.change_me(change, db, settings)
    await db.transaction(lambda tx: calls.logout(Logout(refresh_token=tokens.refresh_token), tx))
    order_id, payment_id = new_id(), new_id()
    failed = events.OrderFailed(order_id=order_id, buyer_id=user_id, reason="payment_kept")
    part = events.PaymentPartlyRefunded(
        order_id=order_id, payment_id=payment_id, user_id=user_id, amount=5, refunded=5
    )
    await db.transaction(lambda tx: events.tell_of_failures([failed], tx, settings))
    await db.transaction(lambda tx: events.tell_of_refunds_in_part([part], tx, settings))
    server.answers += [f"451 <{EMAIL}> later", f"554 {EMAIL.upper()}: never, {EMAIL}"]
    await deliveries.deliver_due(db, settings)


async def test_no_event_and_no_log_tells_who_a_user_is(
    db: Database,
    inbox: tuple[Inbox, UserSettings],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    server, mailing = inbox
    settings = msgspec.structs.replace(
        mailing, argon2_memory_kib=64, argon2_passes=1, registration_retry_s=0.001
    )
    db.publish_through(Outbox("user", db))
    with structlog.testing.capture_logs() as logs:
        await _live(db, settings, server)
    told = await db.read(lambda reader: reader.rows("SELECT body FROM outbox"))
    refused = await db.read(lambda reader: reader.rows("SELECT last_error FROM deliveries"))
    assert len(told) >= 4
    assert len(refused) == 2
    assert {line["event"] for line in logs} >= {"registration.undone", "notification.not_sent"}
    # Not what the mail server says, which is a part of the test.
    lines = [record.getMessage() for record in caplog.records if record.name != "mail.log"]
    said = f"{told} {refused} {logs} {lines} {capfd.readouterr()}".lower()
    assert [one for one in PERSONAL if one.lower() in said] == []
    assert EMAIL in await whole(db), "it is where it belongs"
