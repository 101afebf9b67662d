"""Whose an event is: the user that it bears, or whom those name who may send it again."""

import pytest
from pamqp.commands import Basic

from shared.broker.identity import PUBLISHED_BY, Identity, origin

OWN = Identity("item-svc", is_own=True)
SHARED = Identity("shop", is_own=False)


def sent(user_id: str | None, published_by: str | None = None) -> Basic.Properties:
    return Basic.Properties(
        user_id=user_id, headers=None if published_by is None else {PUBLISHED_BY: published_by}
    )


@pytest.mark.parametrize(
    ("user_id", "published_by", "is_strange"),
    [
        ("order-svc", None, False),
        # Its own service: a retry, one that was taken apart or held back; and who sends dead letters back.
        ("item-svc", "order-svc", False),
        ("query-svc", "order-svc", False),
        # Nobody else, and not under another name.
        (None, None, True),
        ("", None, True),
        ("coupon-svc", None, True),
        ("shop", None, True),
        ("migrate", "order-svc", True),
        ("coupon-svc", "order-svc", True),
        (None, "order-svc", True),
        # Who sends again says whose it was; what a stranger sent stays a stranger's.
        ("item-svc", None, True),
        ("query-svc", None, True),
        ("item-svc", "", True),
        ("query-svc", "coupon-svc", True),
        ("item-svc", "item-svc", True),
        # A publisher needs no header, and none makes another of him.
        ("order-svc", "coupon-svc", False),
    ],
)
def test_an_event_comes_from_its_publisher_or_from_who_may_send_it_again(
    user_id: str | None, published_by: str | None, is_strange: bool
) -> None:
    of_order = origin(OWN, "item", "order")
    assert of_order.is_strange(sent(user_id, published_by)) == is_strange


@pytest.mark.parametrize("user_id", ["order-svc", None, "guest"])
def test_where_all_share_a_user_another_is_strange(user_id: str | None) -> None:
    of_order = origin(SHARED, "item", "order")
    assert of_order.is_strange(sent(user_id))
    assert not of_order.is_strange(sent("shop"))
    assert not of_order.is_strange(sent("shop", "shop"))
    assert of_order.is_strange(sent("shop", "")), "what came from nobody stays so when it is sent again"


def test_whose_it_was_is_kept_through_every_way() -> None:
    of_order = origin(OWN, "item", "order")
    assert of_order.publisher_of(sent("order-svc")) == "order-svc"
    assert of_order.publisher_of(sent("item-svc", "order-svc")) == "order-svc"
    assert of_order.publisher_of(sent("coupon-svc", "order-svc")) == "coupon-svc"
    assert of_order.publisher_of(sent(None, "order-svc")) == ""
    assert of_order.publisher_of(Basic.Properties()) == ""
