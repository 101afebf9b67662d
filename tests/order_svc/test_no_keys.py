"""No key to a card leaves the order service: none comes in, and what waited with one is cleaned."""

import msgspec
import pytest

from order_svc.contracts import PlaceOrder
from shared.database.units import Database
from shared.events.outbox import Outbox
from shared.ids import new_id
from tests.order_svc.acts import an_order, place
from tests.support.databases import whole
from tests.support.upgrade import repeat_migrations

KEY = 'pay_4242"secret\\of#a/buyer'


async def test_a_key_that_a_caller_brings_is_neither_kept_nor_told(
    db: Database, outbox: Outbox, capfd: pytest.CaptureFixture[str]
) -> None:
    """As a gateway of before might: the field is not known, and so is not read."""
    db.publish_through(outbox)
    wanted = msgspec.to_builtins(an_order(pay_with="card", payment_id=new_id())) | {"payment_key": KEY}
    call = msgspec.json.decode(msgspec.json.encode(wanted), type=PlaceOrder)
    await place(db, call)
    kept = await whole(db)
    assert str(call.payment_id) in kept
    assert "secret" not in kept
    assert "payment_key" not in kept
    assert "secret" not in "".join(capfd.readouterr())


async def test_what_waits_with_a_key_to_be_published_is_cleaned(db: Database, outbox: Outbox) -> None:
    db.publish_through(outbox)
    for pay_with in ("card", "card", None):
        await place(db, an_order(pay_with=pay_with))
    clean = await whole(db)
    await db.execute(
        "UPDATE outbox SET body = REPLACE(body, %s, %s)",
        ['"payment_id":null', f'"payment_key":{msgspec.json.encode(KEY).decode()}'],
    )
    assert (await whole(db)).count("secret") == 3
    for _ in range(2):
        await repeat_migrations(db, "order_svc", ["0008_no_payment_keys"])
        assert (await whole(db)).replace("payment_key", "payment_id") == clean
