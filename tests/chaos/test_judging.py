"""What counts as lost, stuck or doubled, and what clients saw of a fault."""

from ops.chaos.buying import Purchase
from ops.chaos.journal import Asked, Wanted, kind_of, longest_wait, refusals
from ops.chaos.judging import KeptOrder, KeptPayment, Verdict, judge

ANN, BEN = 1, 2


def purchase(number: int, *orders: str, outcome: str = "accepted", buyer: int = ANN) -> Purchase:
    """A purchase and the ids that it was told."""
    return Purchase(number, "points", buyer, f"key-{number}", set(orders), outcome=outcome)


def kept(order_id: str, status: str = "COMPLETED", *, buyer: int = ANN, settled: bool = True) -> KeptOrder:
    """An order as it is in the end."""
    return KeptOrder(order_id, buyer, status, None, settled)


def judged(purchases: list[Purchase], *orders: KeptOrder, letters: tuple[str, ...] = ()) -> Verdict:
    """What it comes to, without payments."""
    return judge(purchases, {order.id: order for order in orders}, {}, letters)


def test_all_is_well_when_everything_told_is_there_and_nothing_else() -> None:
    verdict = judged([purchase(1, "a"), purchase(2, outcome="refused: 422")], kept("a"))
    assert verdict.good
    assert verdict.ends == {"COMPLETED": 1}
    assert verdict.told == {"accepted": 1, "refused: 422": 1}


def test_an_accepted_order_that_is_not_there_is_lost() -> None:
    verdict = judged([purchase(1, "a")])
    assert verdict.lost == ["order a: accepted (points), but there is no such order"]


def test_an_accepted_payment_that_is_not_there_is_lost_and_one_under_way_is_stuck() -> None:
    one = purchase(1, "a")
    one.payments.update(("p", "q"))
    verdict = judge([one], {"a": kept("a")}, {"p": KeptPayment("p", "ASKING")}, ())
    assert verdict.lost == ["payment q of order a: accepted, but there is no such payment"]
    assert verdict.stuck == ["payment p: still ASKING"]


def test_an_order_that_does_not_come_to_rest_is_stuck() -> None:
    verdict = judged([purchase(1, "a")], kept("a", "PENDING", settled=False))
    assert verdict.stuck == ["order a: still PENDING (no reason)"]


def test_two_orders_under_one_key_are_doubled() -> None:
    verdict = judged([purchase(1, "a", "b")], kept("a"), kept("b"))
    assert verdict.doubled == ["purchase 1 (points): one key, orders a, b"]


def test_an_order_that_nobody_was_told_of_may_belong_to_a_purchase_without_an_answer() -> None:
    unknown = purchase(2, outcome="unknown")
    assert judged([purchase(1, "a"), unknown], kept("a"), kept("b")).unknown_but_placed == ["b"]
    verdict = judged([purchase(1, "a"), unknown], kept("a"), kept("b"), kept("c"))
    assert len(verdict.doubled) == 1
    # Who was refused for sure, or somebody else, cannot have placed it.
    for other in (purchase(2, outcome="unavailable"), purchase(2, outcome="unknown", buyer=BEN)):
        assert len(judged([purchase(1, "a"), other], kept("a"), kept("b")).doubled) == 1


def test_an_event_that_was_given_up_is_lost() -> None:
    assert judged([], letters=("e1 of item.order.placed",)).lost == [
        "event given up as a dead letter: e1 of item.order.placed"
    ]


def test_the_longest_wait_is_that_of_a_client_and_not_of_one_request() -> None:
    wants = [
        Wanted("POST /orders", 1.0, 1.2, True),
        Wanted("POST /orders", 4.0, 9.0, True),
        Wanted("POST /orders", 20.0, 90.0, True),
        Wanted("GET /orders/ID", 4.0, 12.0, False),
    ]
    assert longest_wait(wants, "POST /orders", 3.0, 6.0) == 5.0
    assert longest_wait(wants, "GET /orders/ID", 3.0, 6.0) == 8.0
    assert longest_wait(wants, "POST /orders", 10.0, 12.0) == 0.0


def test_refusals_are_503_and_no_answer_at_all() -> None:
    requests = [
        Asked("GET /", 0.0, at, status) for at, status in ((1, 200), (2, 503), (3, 0), (4, 503), (5, 422))
    ]
    assert refusals(requests, 1.5, 3.5) == 2


def test_paths_are_told_apart_by_their_kind_alone() -> None:
    order = "018f7e0a-2b6c-7c3d-9e4f-5a6b7c8d9e0f"
    assert kind_of(f"http://127.0.0.1:8000/orders/{order}/cancel?x=1") == "/orders/ID/cancel"
    assert kind_of("http://127.0.0.1:8000/users/me") == "/users/me"
