"""The journal: what was answered for survives a kill; what a kill tore was never answered for."""

import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import msgspec
import pytest

from pg_sim.book import Book
from pg_sim.journal import DamagedJournal, Journal
from pg_sim.refusals import Refused
from pg_sim.settings import SimulatorSettings
from tests.pg_sim.conftest import SECRET, Pg, Started, order_number
from tests.pg_sim.test_book_model import EVERYTHING
from tests.support.ports import free_port
from tests.support.waiting import eventually


class Line(msgspec.Struct):
    text: str


def _open(path: Path) -> Journal[Line]:
    return Journal(path, msgspec.json.Decoder(Line).decode)


def test_a_torn_last_line_is_dropped_and_nothing_is_glued_to_it(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "journal"
    journal = _open(path)
    for text in ("one", "two", "three"):
        journal.append(Line(text))
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        again = _open(path)
        kept = [line.text for line in again.read()]
        assert kept == ["one", "two", "three"][: whole[:length].count(b"\n")]
        again.append(Line("next"))
        assert [line.text for line in _open(path).read()] == [*kept, "next"]


def test_a_broken_line_is_told_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "pg.jsonl"
    for broken in (b"what\n", b'{"payment": 1}\n', b"{}{}\n", b'{"unheard": "of"}\n'):
        path.write_bytes(b"{}\n" + broken)
        with pytest.raises(DamagedJournal, match=f"line 2 .*mv {path}"):
            Book(SimulatorSettings(pg_journal=str(path)))


def test_a_full_disk_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "journal"
    journal = _open(path)
    journal.append(Line("one"))

    class Full(io.FileIO):
        def write(self, data: bytes) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
            return super().write(data[: len(data) // 2])

    monkeypatch.setattr(Path, "open", lambda path, *_, **__: Full(path, "ab"))  # pyright: ignore
    with pytest.raises(OSError, match="full"):
        journal.append(Line("two"))
    monkeypatch.undo()
    journal.append(Line("three"))
    assert [line.text for line in journal.read()] == ["one", "three"]


def test_what_an_earlier_version_wrote_is_read(tmp_path: Path) -> None:
    path = tmp_path / "pg.jsonl"
    path.write_text(
        '{"paymentKey":"pay_1","orderId":"order-1","status":"DONE","totalAmount":900,"method":"카드",'
        '"approvedAt":"2026-10-01T10:00:00.123456+00:00","failure":null}\n'
        '{"paymentKey":"pay_2","orderId":"order-2","status":"ABORTED","totalAmount":800,"method":"카드",'
        '"approvedAt":null,"failure":{"code":"REJECT_CARD_COMPANY","message":"No."}}\n'
        '{"paymentKey":"pay_3","orderId":"order-3","status":"DONE","totalAmount":700,"method":"카드",'
        '"approvedAt":"2026-10-01T10:00:00.123456+00:00","failure":null}\n'
        '{"paymentKey":"pay_3","orderId":"order-3","status":"CANCELED","totalAmount":700,"method":"카드",'
        '"approvedAt":"2026-10-01T10:00:00.123456+00:00","failure":{"code":"CANCELED","message":"Mine."}}\n'
    )
    settings = SimulatorSettings(pg_journal=str(path))
    book = Book(settings)
    first, second, third = (book.by_order(f"order-{number}") for number in (1, 2, 3))
    assert (first.status, first.balance) == ("DONE", 900)
    assert (second.status, second.failure and second.failure.code) == ("ABORTED", "REJECT_CARD_COMPANY")
    assert (third.status, third.balance) == ("CANCELED", 0)
    with pytest.raises(Refused, match="ALREADY_CANCELED_PAYMENT"):
        book.cancel("pay_3", None, "Again")
    book.cancel("pay_1", 400, "Changed my mind")

    again = Book(settings)
    assert again.by_key("pay_1").balance == 500
    amounts = [row.amount for row in again.transactions(*EVERYTHING, None, 10)]
    assert amounts == [900, 700, 700, 400]


async def test_everything_is_there_again_after_a_restart(start: Started, journal: str) -> None:
    before = start(pg_journal=journal)
    number = order_number()
    free, bound = await before.key(), await before.key(order_id=number, amount=700)
    charged = await before.charged()
    await before.cancel(charged["paymentKey"], 1_500, once="k-1")
    tried = await before.key("4000000000000176")
    assert (await before.confirm(tried, order_number(), once="k-2")).status_code == 400
    await before.post("/simulator/manner", json={"manner": "refuse_cancellations"})
    charges = (await before.get("/simulator/charges")).json()

    await before.stop()
    after = start(pg_journal=journal)

    assert (await after.get("/simulator/charges")).json() == charges
    page = (await after.get("/simulator")).text
    assert "It refuses every cancellation of the shop" in page
    await after.post("/simulator/manner", json={"manner": "off"})
    assert (await after.cancel(charged["paymentKey"], 9, once="k-1")).json()["balanceAmount"] == 18_500
    assert (await after.confirm(tried, order_number(), once="k-2")).json()["code"] == "PROVIDER_ERROR"
    assert (await after.confirm(bound, number, 700)).status_code == 200
    assert (await after.confirm(free, order_number())).status_code == 200


async def test_a_cancellation_of_the_pgs_own_is_not_forgotten(start: Started, journal: str) -> None:
    before = start(pg_journal=journal, pg_own_cancel_s=0.2)
    key = (await before.charged("4000000000000192"))["paymentKey"]
    await before.stop()
    after = start(pg_journal=journal)
    await eventually(lambda: after.look(key), holds=lambda payment: payment["status"] == "CANCELED")


@pytest.mark.servers
async def test_what_was_answered_survives_a_kill(tmp_path: Path) -> None:
    port = free_port()
    environment = os.environ | {
        "SHOP_SERVICE_PORT": str(port),
        "SHOP_PG_JOURNAL": str(tmp_path / "pg.jsonl"),
        "SHOP_PG_SECRET": SECRET,
        "SHOP_PG_WEBHOOK_URL": f"http://127.0.0.1:{port}/nobody",
    }

    async def begun() -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, "-m", "pg_sim"], env=environment)  # noqa: ASYNC220

        async with httpx.AsyncClient(trust_env=False) as http:

            async def ready() -> bool:
                try:
                    return (await http.get(f"http://127.0.0.1:{port}/readyz")).is_success
                except httpx.HTTPError:
                    return False

            await eventually(ready)
        return process

    class Remote(Pg):
        def __init__(self) -> None:
            httpx.AsyncClient.__init__(
                self, base_url=f"http://127.0.0.1:{port}", auth=(SECRET, ""), trust_env=False
            )

    process = await begun()
    try:
        async with Remote() as pg:
            payment = await pg.charged()
            cancelled = (await pg.cancel(payment["paymentKey"], 700)).json()
            odd = "odd/key?x=%2F"
            await pg.confirm(odd, order_number())
        process.send_signal(signal.SIGKILL)
        process.wait()
        with (tmp_path / "pg.jsonl").open("ab") as file:
            file.write(b'{"payment":{"key":"torn')
        process = await begun()
        async with Remote() as pg:
            assert await pg.look(payment["paymentKey"]) == cancelled
            assert (await pg.cancel(odd)).json()["paymentKey"] == odd
            listed = (await pg.get("/simulator/charges")).json()
            assert [one["paymentKey"] for one in listed] == [odd, payment["paymentKey"]]
    finally:
        process.kill()
        process.wait()
