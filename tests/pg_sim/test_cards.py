"""How each card and each overall manner behaves, and that the documents name them all."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pg_sim.book import Book
from pg_sim.cards import CARDS, OverallManner
from pg_sim.settings import SimulatorSettings
from tests.pg_sim.conftest import Pg, Shop, order_number, refused
from tests.support.waiting import eventually


def test_the_documents_have_the_table_of_cards() -> None:
    text = (Path(__file__).parents[2] / "docs" / "local-runs.md").read_text()
    for card in CARDS.values():
        spaced = " ".join(card.number[place : place + 4] for place in range(0, 16, 4))
        assert f"| {spaced} | {card.description} |" in text


async def test_cards_are_listed(pg: Pg) -> None:
    listed = (await pg.get("/simulator/cards")).json()
    assert listed == {number: card.manner.value for number, card in CARDS.items()}


async def test_a_card_that_the_table_does_not_name_is_good(pg: Pg) -> None:
    assert (await pg.charged("5555555555554444"))["status"] == "DONE"


async def test_a_card_that_hangs_is_not_charged(pg: Pg) -> None:
    key = await pg.key("4000000000000101")
    answer = await pg.confirm(key, order_number())
    assert (answer.status_code, answer.content) == (504, b"")
    assert (await pg.look(key))["status"] == "IN_PROGRESS"
    assert refused(await pg.cancel(key)) == (403, "NOT_CANCELABLE_PAYMENT")


async def test_a_lost_answer_is_there_for_who_asks_again(pg: Pg) -> None:
    key, number = await pg.key("4000000000000127"), order_number()
    answer = await pg.confirm(key, number, once="k-1")
    assert (answer.status_code, answer.content) == (502, b"")
    charged = await pg.look(key)
    assert charged["status"] == "DONE"
    assert (await pg.confirm(key, number, once="k-1")).json() == charged


async def test_a_temporary_error_passes(pg: Pg) -> None:
    key, number = await pg.key("4000000000000176"), order_number()
    for _ in range(2):
        assert refused(await pg.confirm(key, number)) == (400, "PROVIDER_ERROR")
    assert (await pg.confirm(key, number)).json()["status"] == "DONE"


async def test_a_card_whose_cancellation_is_refused(pg: Pg) -> None:
    payment = await pg.charged("4000000000000168")
    for amount in (None, 1):
        assert refused(await pg.cancel(payment["paymentKey"], amount)) == (403, "NOT_CANCELABLE_PAYMENT")
    assert await pg.look(payment["paymentKey"]) == payment


@pytest.mark.parametrize(
    ("card", "status", "left"),
    [("4000000000000184", "PARTIAL_CANCELED", 10_000), ("4000000000000192", "CANCELED", 0)],
)
async def test_cards_that_the_pg_cancels_by_itself(
    pg: Pg, shop: Shop, card: str, status: str, left: int
) -> None:
    key = (await pg.charged(card))["paymentKey"]
    seen = await eventually(lambda: pg.look(key), holds=lambda payment: payment["status"] == status)
    assert seen["balanceAmount"] == left
    assert [one["cancelAmount"] for one in seen["cancels"]] == [20_000 - left]
    await eventually(_told(shop), holds=lambda told: told == ["DONE", status])


async def _behave(pg: Pg, manner: OverallManner) -> None:
    answer = await pg.post("/simulator/manner", json={"manner": manner})
    assert (answer.status_code, answer.json()) == (200, {"manner": manner})


async def test_everything_can_be_declined(pg: Pg) -> None:
    await _behave(pg, OverallManner.DECLINE)
    answer = await pg.confirm(await pg.key(), order_number())
    assert refused(answer) == (403, "REJECT_CARD_COMPANY")
    await _behave(pg, OverallManner.OFF)
    assert (await pg.charged())["status"] == "DONE"


async def test_everything_can_hang(pg: Pg) -> None:
    payment = await pg.charged()
    await _behave(pg, OverallManner.HANG)
    assert (await pg.cancel(payment["paymentKey"])).status_code == 504
    assert (await pg.get(f"/v1/payments/{payment['paymentKey']}")).status_code == 504
    await _behave(pg, OverallManner.OFF)
    assert await pg.look(payment["paymentKey"]) == payment


async def test_cancellations_can_be_refused(pg: Pg) -> None:
    payment = await pg.charged()
    await _behave(pg, OverallManner.REFUSE_CANCELLATIONS)
    assert refused(await pg.cancel(payment["paymentKey"])) == (403, "NOT_CANCELABLE_PAYMENT")
    await _behave(pg, OverallManner.OFF)
    assert (await pg.cancel(payment["paymentKey"])).json()["status"] == "CANCELED"


async def test_answers_can_be_lost(pg: Pg) -> None:
    key, number = await pg.key(), order_number()
    await _behave(pg, OverallManner.LOSE_ANSWERS)
    assert (await pg.confirm(key, number, once="k-1")).status_code == 502
    assert (await pg.look(key))["status"] == "DONE"
    assert (await pg.cancel(key, 500)).status_code == 502
    await _behave(pg, OverallManner.OFF)
    assert (await pg.confirm(key, number, once="k-1")).json()["status"] == "DONE"
    assert (await pg.look(key))["balanceAmount"] == 19_500


def _told(shop: Shop) -> Any:
    async def look() -> list[str]:
        return shop.told()

    return look


def test_the_pg_cancels_by_itself_once_and_never_more_than_is_left() -> None:
    now = datetime(2026, 11, 1, tzinfo=UTC)
    book = Book(SimulatorSettings(), clock=lambda: now)
    kept, cancelled, one_won = (book.hand_out("4000000000000184").key for _ in range(3))
    for key, amount in ((kept, 9), (cancelled, 9), (one_won, 1)):
        book.claim(key, f"order-{key}", amount)
        book.approve(key)
    book.cancel(cancelled, 7, "Changed my mind")
    for seconds in (3, 700, 700):
        now += timedelta(seconds=seconds)
        book.pass_time()
    assert [book.by_key(key).balance for key in (kept, cancelled, one_won)] == [5, 0, 0]
    assert [len(book.by_key(key).cancellations) for key in (kept, cancelled, one_won)] == [1, 2, 1]
