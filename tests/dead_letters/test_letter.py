"""A dead letter between wire and table: nothing is lost, and it goes back as good as new."""

from typing import Any

import msgspec
import pytest

from query_svc.dead_letters.letter import group_key, letter_of, message_of
from tests.dead_letters.letters import FAILED_AT, QUEUE, message
from tests.shared.lab import event

BODIES = [
    b"",
    b"[]",
    b'{"not": "an array"}',
    b"\xff\x00 not JSON",
    b"text with a \x00 in it",
    "한국어 🛒".encode(),
    bytes(range(256)),
    b"lone half \\ud800",
    b"[" * 5000,
]


def _back(body: bytes, **changes: Any) -> Any:
    """A message that went into the table and out again."""
    kept = letter_of(message(body, **changes), QUEUE)
    headers, properties = msgspec.json.decode(kept.headers), msgspec.json.decode(kept.properties)
    return message_of(kept.encoding, kept.body, headers, properties, kept.failed_redrives + 1)


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
def test_every_body_comes_back_byte_by_byte(body: bytes) -> None:
    assert _back(body).body == body


def test_a_body_that_is_text_is_kept_as_text() -> None:
    assert letter_of(message("한국어".encode()), QUEUE).encoding == "text"
    assert letter_of(message(b"\xff"), QUEUE).encoding == "base64"


def test_it_goes_back_under_its_own_name_with_a_fresh_count_of_attempts() -> None:
    counts = {"x-delivery-count": 4, "x-acquired-count": 5}
    went = message(headers={"x-mine": {"a": [1, "b", None]}, **counts, "x-alone": 1})
    back = _back(
        went.body,
        **{name: getattr(went, name) for name in ("message_id", "correlation_id")},
        headers=went.headers,
    )
    assert (back.message_id, back.correlation_id) == (went.message_id, went.correlation_id)
    assert (back.type, back.app_id, back.content_type) == (went.type, went.app_id, went.content_type)
    assert back.timestamp == went.timestamp
    assert back.headers == {
        "x-count": 1,
        "x-mine": {"a": [1, "b", None]},
        "x-redrives": 1,
        "x-published-by": "",
    }


def test_what_our_consumer_wrote_down_is_read() -> None:
    found = letter_of(message(headers={"x-redrives": 2}), QUEUE)
    assert (found.exception, found.message, found.attempts) == ("ValueError", "no such thing", 4)
    assert found.failed_redrives == 2
    assert found.failed_at is not None
    assert found.failed_at.isoformat() == FAILED_AT


def test_the_only_event_of_a_message_is_named() -> None:
    body = b"[" + event("order.placed", {}, id="e1") + b"]"
    assert letter_of(message(body, message_id="m1", type=None), QUEUE).event_id == "e1"
    assert letter_of(message(body, message_id="m1", type=None), QUEUE).event == "order.placed"
    several = letter_of(message(b"[1, 2]", message_id="m1"), QUEUE)
    assert (several.event, several.event_id) == ("order.placed", "m1")


@pytest.mark.parametrize(
    ("headers", "exception"),
    [
        ({"x-first-death-reason": "delivery_limit"}, "DeliveryLimit"),
        ({"x-first-death-reason": "expired"}, "Expired"),
        ({}, "Unknown"),
    ],
)
def test_what_the_broker_buried_is_told_by_its_own_headers(headers: dict[str, Any], exception: str) -> None:
    bare = message(headers=headers)
    for name in [name for name in bare.headers if name not in headers]:
        del bare.headers[name]
    assert letter_of(bare, QUEUE).exception == exception


@pytest.mark.parametrize("value", [None, "soon", 5, "2026-01-31T12:00:00"])
def test_a_time_that_is_none_is_left_out(value: object) -> None:
    assert letter_of(message(headers={"x-failed-at": value}), QUEUE).failed_at is None


def test_foreign_headers_do_no_harm() -> None:
    found = letter_of(
        message(
            headers={"x-attempt": "many", "x-redrives": -3, "x-exception": "E" * 500, "x-bytes": b"\xff"}
        ),
        QUEUE,
    )
    assert (found.attempts, found.failed_redrives, len(found.exception)) == (1, 0, 100)
    assert msgspec.json.decode(found.headers)["x-bytes"] == "/w=="


@pytest.mark.parametrize("counted", ["x-delivery-count", "x-acquired-count"])
def test_the_same_letter_is_recognised_and_another_is_not(counted: str) -> None:
    one = message(message_id="m1")
    again = message(one.body, message_id="m1", headers={counted: 1})
    later = message(one.body, message_id="m1", headers={"x-failed-at": "2026-01-31T12:00:01+00:00"})
    assert letter_of(one, QUEUE).identity == letter_of(again, QUEUE).identity
    others = [
        letter_of(later, QUEUE),
        letter_of(one, "coupon.order.placed"),
        letter_of(message(b"[]"), QUEUE),
    ]
    assert letter_of(one, QUEUE).identity not in {other.identity for other in others}


def test_a_group_is_a_queue_and_an_exception() -> None:
    keys = {group_key(queue, exception) for queue in ("a", "b") for exception in ("X", "Y")}
    assert len(keys) == 4
    assert letter_of(message(), QUEUE).group == group_key(QUEUE, "ValueError")


def test_of_what_a_stranger_put_among_the_dead_letters_nothing_is_believed_or_read() -> None:
    forged = message(headers={"x-exception": "ItemMissing", "x-published-by": "order-svc"}, type=None)
    found = letter_of(forged, QUEUE, "coupon-svc", is_strange=True)
    assert found.exception == "Stranger"
    assert (found.event, found.event_id) == (None, forged.message_id)
    assert msgspec.json.decode(found.headers)["x-published-by"] == "coupon-svc"
