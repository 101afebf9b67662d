"""The adapter to Toss Payments, against a gateway whose every answer is set."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote
from uuid import UUID

import httpx
import pytest
import structlog.testing

from payment_svc import pgs
from payment_svc.pgs import Card, Entry, Finding, NoAnswer, Notice, PaymentGateway, Report, toss
from payment_svc.settings import PaymentSettings
from shared.clock import utc_now
from tests.payment_svc.fake_pg import HANG, LOST, FakePg, error

CARD = Card(UUID(int=1), "pay_1", 10_000)
Question = Callable[[PaymentGateway, Card], Awaitable[Report]]


async def _charge(pg: PaymentGateway, card: Card = CARD) -> Report:
    return await pg.charge(card, attempt=0)


async def _look_up(pg: PaymentGateway, card: Card = CARD) -> Report:
    return await pg.look_up(card)


async def _cancel(pg: PaymentGateway, card: Card = CARD) -> Report:
    return await pg.cancel(card, "because", attempt="a")


QUESTIONS: dict[str, Question] = {"confirm": _charge, "order": _look_up, "cancel": _cancel}
every_question = pytest.mark.parametrize("kind", list(QUESTIONS))


@pytest.fixture
def fake() -> FakePg:
    return FakePg()


@pytest.fixture
async def pg(fake: FakePg, monkeypatch: pytest.MonkeyPatch) -> toss.Toss:
    monkeypatch.setattr(toss, "PAUSE_S", 0.0)
    return toss.Toss("http://pg.test", "secret", timeout_s=0.2, tries=2, transport=fake)


def _body(status: str = "DONE", **changes: Any) -> dict[str, Any]:
    return {
        "orderId": str(CARD.payment_id),
        "paymentKey": CARD.key,
        "status": status,
        "totalAmount": CARD.amount,
        "balanceAmount": 0 if status == "CANCELED" else CARD.amount,
        "currency": "KRW",
        **changes,
    }


async def test_a_charge_is_made_found_given_back_in_part_and_whole(pg: toss.Toss, fake: FakePg) -> None:
    assert await _look_up(pg) == Report(Finding.NOTHING)
    assert await _charge(pg) == Report(Finding.CHARGED)
    part = await pg.cancel(CARD, "a part", attempt="p", amount=3_000)
    assert part == Report(Finding.CHARGED, 3_000) == await _look_up(pg)
    assert (await _cancel(pg)).finding is Finding.CANCELLED
    assert await _look_up(pg) == Report(Finding.CANCELLED, 10_000, "CANCELED")
    bodies = [json.loads(one.content) for one in fake.requests if one.method == "POST"]
    assert bodies == [
        {"paymentKey": "pay_1", "orderId": str(CARD.payment_id), "amount": 10_000},
        {"cancelReason": "a part", "cancelAmount": 3_000},
        {"cancelReason": "because"},
    ]
    assert {one.headers["authorization"] for one in fake.requests} == {"Basic c2VjcmV0Og=="}


async def test_a_question_keeps_its_idempotency_key_and_another_has_another(
    pg: toss.Toss, fake: FakePg
) -> None:
    fake.next("confirm", httpx.Response(500), httpx.Response(502))
    with pytest.raises(NoAnswer):
        await pg.charge(CARD, attempt=0)
    await pg.charge(CARD, attempt=1)
    await pg.cancel(CARD, "r", attempt="a", amount=1)
    await pg.cancel(CARD, "r", attempt="a", amount=1)
    await pg.cancel(CARD, "r", attempt="b", amount=1)
    keys = [one.headers["idempotency-key"] for one in fake.requests if one.method == "POST"]
    first, again, second, *cancels = keys
    assert first == again != second
    assert cancels[0] == cancels[1] != cancels[2]
    assert fake.held() == {str(CARD.payment_id): 9_998}
    assert all(len(key) <= 300 for key in keys)


@every_question
@pytest.mark.parametrize(
    "change",
    [
        {"orderId": str(UUID(int=2))},
        {"paymentKey": "PAY_1"},
        {"totalAmount": 10_001},
        {"currency": "USD"},
    ],
    ids=lambda change: next(iter(change)),
)
async def test_an_answer_counts_only_if_it_is_about_our_payment(
    pg: toss.Toss, fake: FakePg, kind: str, change: dict[str, Any]
) -> None:
    fake.next(kind, httpx.Response(200, json=_body(**change)))
    report = await QUESTIONS[kind](pg, CARD)
    assert (report.finding, report.code) == (Finding.CONTRADICTION, "NOT_OURS")


@every_question
@pytest.mark.parametrize(
    ("status", "balance", "finding"),
    [
        ("DONE", 10_000, Finding.CHARGED),
        ("DONE", 9_000, Finding.CHARGED),
        ("PARTIAL_CANCELED", 1, Finding.CHARGED),
        ("PARTIAL_CANCELED", 0, Finding.CONTRADICTION),
        ("DONE", -1, Finding.CONTRADICTION),
        ("DONE", 10_001, Finding.CONTRADICTION),
        ("CANCELED", 0, Finding.CANCELLED),
        ("CANCELED", 5_000, Finding.CONTRADICTION),
        ("ABORTED", 10_000, Finding.REFUSED),
        ("EXPIRED", 10_000, Finding.REFUSED),
        ("READY", 10_000, Finding.NOTHING),
        ("IN_PROGRESS", 10_000, Finding.NOTHING),
        ("WAITING_FOR_DEPOSIT", 10_000, Finding.NOTHING),
    ],
)
async def test_what_a_status_means(
    pg: toss.Toss, fake: FakePg, kind: str, status: str, balance: int, finding: Finding
) -> None:
    fake.next(kind, httpx.Response(200, json=_body(status, balanceAmount=balance)))
    report = await QUESTIONS[kind](pg, CARD)
    assert report.finding is finding
    if finding in (Finding.CHARGED, Finding.CANCELLED):
        assert report.returned == 10_000 - balance


UNREADABLE = {
    "an unknown status": httpx.Response(200, json=_body("SETTLED")),
    "no amount": httpx.Response(200, json={k: v for k, v in _body().items() if k != "totalAmount"}),
    "an amount with a fraction": httpx.Response(200, json=_body(totalAmount=1.5)),
    "torn": httpx.Response(200, text='{"orderId": "'),
    "a list": httpx.Response(200, text="[1]"),
    "not text": httpx.Response(200, content=b"\xff\xfe"),
    "too deep": httpx.Response(200, text='{"failure":' * 5000),
    "nothing at all": httpx.Response(200),
    "a refusal that says 200": error(200, "REJECT_CARD_PAYMENT"),
    "a proxy's 404": httpx.Response(404, text="<html>not found</html>"),
    "a 404 without a code": httpx.Response(404, json={}),
    "a redirection": httpx.Response(302, headers={"location": "http://elsewhere.test/"}),
    "our credentials": error(401, "UNAUTHORIZED_KEY"),
    "a twin at work": error(409, "IDEMPOTENT_REQUEST_PROCESSING"),
    "too many": error(429, "TOO_MANY_REQUESTS"),
    "a provider's trouble": error(400, "PROVIDER_ERROR"),
    "its own trouble": error(500, "FAILED_INTERNAL_SYSTEM_PROCESSING"),
    "away": httpx.Response(503, text="away"),
    "a code of tomorrow": error(400, "SOMETHING_NEW"),
    "a declining code with 500": error(500, "REJECT_CARD_PAYMENT"),
    "a broken line": httpx.ReadError("pay_1 broke"),
    "a closed door": httpx.ConnectError("http://pg.test/pay_1"),
    "too slow": httpx.ReadTimeout("slow"),
    "against the protocol": httpx.RemoteProtocolError("what?"),
}


@every_question
@pytest.mark.parametrize("answer", list(UNREADABLE.values()), ids=list(UNREADABLE))
async def test_what_does_not_decide_leaves_the_outcome_unknown(
    pg: toss.Toss, fake: FakePg, kind: str, answer: httpx.Response | Exception
) -> None:
    fake.charge(CARD.payment_id, CARD.key, CARD.amount)
    fake.always[(kind, None)] = answer
    with pytest.raises(NoAnswer):
        await QUESTIONS[kind](pg, CARD)


@pytest.mark.parametrize(
    "code",
    [
        "REJECT_CARD_PAYMENT",
        "REJECT_CARD_COMPANY",
        "REJECT_ACCOUNT_PAYMENT",
        "REJECT_SOMETHING_NEW",
        "INVALID_REJECT_CARD",
        "INVALID_STOPPED_CARD",
        "INVALID_CARD_EXPIRATION",
        "INVALID_CARD_LOST_OR_STOLEN",
        "NOT_FOUND_PAYMENT_SESSION",
    ],
)
async def test_what_declines_a_charge_for_good(pg: toss.Toss, fake: FakePg, code: str) -> None:
    fake.next("confirm", error(403, code, "why"))
    assert await _charge(pg) == Report(Finding.REFUSED, 0, code, "why")
    assert fake.asked["confirm"] == 1


async def test_a_payment_processed_already_is_ours_another_s_or_unknown(pg: toss.Toss, fake: FakePg) -> None:
    fake.charge(CARD.payment_id, CARD.key, CARD.amount)
    assert await _charge(pg) == Report(Finding.CHARGED)
    other = CARD._replace(payment_id=UUID(int=2))
    report = await _charge(pg, other)
    assert (report.finding, report.code) == (Finding.REFUSED, "ALREADY_PROCESSED_PAYMENT")
    fake.next("confirm", error(400, "ALREADY_PROCESSED_PAYMENT"))
    assert (await _charge(pg, CARD._replace(amount=1))).finding is Finding.CONTRADICTION
    fake.next("confirm", error(400, "ALREADY_PROCESSED_PAYMENT"))
    with pytest.raises(NoAnswer):
        await _charge(pg, CARD._replace(key="unheard"))


@pytest.mark.parametrize("code", ["NOT_CANCELABLE_AMOUNT", "NOT_CANCELABLE_PAYMENT", "FORBIDDEN_REQUEST"])
async def test_a_refused_cancel_counts_only_while_it_is_charged(
    pg: toss.Toss, fake: FakePg, code: str
) -> None:
    fake.charge(CARD.payment_id, CARD.key, CARD.amount)
    fake.cancel(CARD.payment_id, 4_000)
    fake.always[("cancel", None)] = error(403, code, "no")
    assert await _cancel(pg) == Report(Finding.STAYS_CHARGED, 4_000, code, "no")
    fake.cancel(CARD.payment_id)
    assert (await _cancel(pg)).finding is Finding.CANCELLED
    fake.payments.clear()
    assert (await _cancel(pg)).finding is Finding.NOTHING


async def test_what_was_cancelled_already_is_looked_at(pg: toss.Toss, fake: FakePg) -> None:
    fake.charge(CARD.payment_id, CARD.key, CARD.amount)
    fake.cancel(CARD.payment_id)
    assert (await _cancel(pg)).finding is Finding.CANCELLED
    fake.next("order", httpx.Response(200, json=_body("CANCELED", orderId=str(UUID(int=9)))))
    assert (await _cancel(pg)).finding is Finding.CONTRADICTION


async def test_an_answer_that_got_lost_is_asked_for_again(pg: toss.Toss, fake: FakePg) -> None:
    fake.next("confirm", LOST)
    assert await _charge(pg) == Report(Finding.CHARGED)
    assert fake.asked["confirm"] == 2
    assert len(fake.entries) == 1


@every_question
async def test_a_gateway_that_hangs_costs_no_more_than_its_time(
    pg: toss.Toss, fake: FakePg, kind: str
) -> None:
    fake.always[(kind, None)] = HANG
    async with asyncio.timeout(1.0):
        with pytest.raises(NoAnswer):
            await QUESTIONS[kind](pg, CARD)
    assert fake.asked[kind] == 2


HOSTILE = [
    "victim/cancel?x=",
    "victim#",
    "..",
    ".",
    "../../transactions",
    "a/../b",
    "%2e%2e%2fvictim",
    "a\\..\\b",
    "a?b=c&d",
    "a;b:c@d",
    "//evil.test/",
]


@pytest.mark.parametrize("key", HOSTILE)
async def test_a_key_is_one_part_of_a_path_whatever_is_in_it(pg: toss.Toss, fake: FakePg, key: str) -> None:
    card = CARD._replace(key=key)
    await _charge(pg, card)
    assert (await pg.charge(card, attempt=1)).finding is Finding.CHARGED  # processed already: whose is it?
    assert (await _cancel(pg, card)).finding is Finding.CANCELLED
    assert all(one.url.host == "pg.test" for one in fake.requests)
    paths = [one.url.raw_path.decode() for one in fake.requests]
    looked, cancelled = (path for path in paths if path != "/v1/payments/confirm")
    middle = looked.removeprefix("/v1/payments/")
    assert cancelled == f"{looked}/cancel"
    assert unquote(middle) == key
    assert not set(middle) & set("/?#\\.")


async def test_no_key_stands_in_a_log_line_or_an_error(pg: toss.Toss, fake: FakePg) -> None:
    card = CARD._replace(key="victim/secret")
    said: list[str] = []
    with structlog.testing.capture_logs() as logs:
        for kind, question in QUESTIONS.items():
            for answer in UNREADABLE.values():
                fake.always[(kind, None)] = answer
                try:
                    said.append(str(await question(pg, card)))
                except NoAnswer as silence:
                    said.append(str(silence))
        fake.always.clear()
        fake.charge(UUID(int=2), card.key, card.amount)
        said.append(str(await _charge(pg, card)))
    assert logs
    assert "victim" not in f"{logs} {said}"


async def test_the_list_is_read_page_by_page_in_the_pg_s_own_time(
    pg: toss.Toss, fake: FakePg, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toss, "PAGE", 2)
    for number in range(1, 6):
        fake.charge(UUID(int=number), f"pay_{number}", 1_000)
    fake.cancel(UUID(int=1), 400)
    fake.cancel(UUID(int=2))
    fake.entries[2]["transactionAt"] = fake.entries[2]["transactionAt"][:19]  # without its zone
    until = utc_now() + timedelta(seconds=1)
    entries = [entry async for entry in pg.transactions(until - timedelta(minutes=1), until)]
    assert [(UUID(entry.number).int, entry.amount) for entry in entries] == [
        *((number, 1_000) for number in range(1, 6)),
        (1, -400),
        (2, -1_000),
    ]
    assert all(abs((entry.at - until).total_seconds()) < 60 for entry in entries)
    assert [one.url.params.get("startingAfter") for one in fake.requests] == [None, "t1", "t3", "t5"]


async def test_dates_are_asked_for_in_korean_time(pg: toss.Toss, fake: FakePg) -> None:
    since = datetime(2026, 1, 31, 15, 0, tzinfo=UTC)
    assert [one async for one in pg.transactions(since, since + timedelta(hours=1))] == []
    asked = fake.requests[0].url.params
    assert (asked["startDate"], asked["endDate"]) == ("2026-02-01T00:00:00", "2026-02-01T01:00:00")


async def test_lines_that_moved_no_money_are_left_out(pg: toss.Toss, fake: FakePg) -> None:
    fake.charge(UUID(int=1), "pay_1", 1_000)
    line = fake.entries[0]
    lines = [{**line, "status": status} for status in ("READY", "EXPIRED", "DONE", "NEW")]
    fake.next("transactions", httpx.Response(200, json=[*lines, {**line, "status": "CANCELED", "amount": 5}]))
    entries = [one async for one in pg.transactions(utc_now(), utc_now())]
    assert [entry.amount for entry in entries] == [1_000, -5]
    assert isinstance(entries[0], Entry)


@pytest.mark.parametrize(
    "answer", [error(400, "INVALID_DATE"), httpx.Response(200, text="{}"), httpx.Response(503)]
)
async def test_a_list_that_cannot_be_read_is_no_list(
    pg: toss.Toss, fake: FakePg, answer: httpx.Response
) -> None:
    fake.always[("transactions", None)] = answer
    with pytest.raises(NoAnswer):
        _ = [one async for one in pg.transactions(utc_now(), utc_now())]


NUMBER = "0190a6a1-0000-7000-8000-000000000001"


def _changed(status: str, **changes: Any) -> dict[str, Any]:
    payment = _body(status, orderId=NUMBER, **changes)
    return {"eventType": "PAYMENT_STATUS_CHANGED", "createdAt": "x", "data": payment}


@pytest.mark.parametrize(
    ("body", "notice"),
    [
        (_changed("DONE"), Notice(NUMBER, Finding.CHARGED)),
        (_changed("PARTIAL_CANCELED", balanceAmount=9_000), Notice(NUMBER, Finding.CHARGED, 1_000)),
        (_changed("CANCELED"), Notice(NUMBER, Finding.CANCELLED, 10_000)),
        (_changed("EXPIRED"), Notice(NUMBER, Finding.REFUSED)),
        (_changed("SETTLED"), Notice(NUMBER)),
        (
            {"createdAt": "x", "secret": "s", "orderId": NUMBER, "status": "DONE"},
            Notice(NUMBER, Finding.CHARGED),
        ),
        ({"eventType": "DEPOSIT_CALLBACK", "orderId": NUMBER, "data": None}, Notice(NUMBER)),
        ({"eventType": "PAYMENT_STATUS_CHANGED", "data": {}}, None),
        ({"eventType": "PAYMENT_STATUS_CHANGED", "data": "x"}, None),
        ({"orderId": 7}, None),
        ({}, None),
        ([], None),
        (None, None),
        ("text", None),
    ],
)
async def test_a_notice_says_how_a_payment_stands_or_nothing(
    pg: toss.Toss, body: object, notice: Notice | None
) -> None:
    assert pg.read_notice({}, json.dumps(body)) == notice


@pytest.mark.parametrize("body", ["", "{", "\x00", "[" * 100_000, '{"a":' * 100_000, "é" * 1000, "\ud800"])
async def test_garbage_is_no_notice(pg: toss.Toss, body: str) -> None:
    assert pg.read_notice({"anything": "at all"}, body) is None


def test_a_pg_that_there_is_not_is_named_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"SHOP_PG_ADAPTER is 'paypal'; there is toss"):
        pgs.adapter(PaymentSettings(pg_adapter="paypal"))
    assert isinstance(pgs.adapter(PaymentSettings()), toss.Toss)
