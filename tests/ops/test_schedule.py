"""The order of a replay, and which order a cancellation means."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from ops.replay.retail import Article, Invoice, Line
from ops.replay.schedule import Schedule, first_orders, latest_holding

MUG, PLATE = Article("MUG", 100), Article("PLATE", 250)


def invoice(number: str, customer: str = "1", *lines: tuple[Article, int]) -> Invoice:
    return Invoice(
        number,
        customer,
        datetime(2010, 12, 1, tzinfo=UTC),
        number.startswith("C"),
        2,
        [Line(*line) for line in lines],
    )


def test_customers_run_side_by_side_and_in_the_order_of_the_file() -> None:
    a1, a2, b1 = invoice("a1", "a"), invoice("a2", "a"), invoice("b1", "b")
    schedule = Schedule([a1, a2, b1])

    assert schedule.take() is a1
    assert schedule.take() is b1
    assert schedule.take() is None
    assert not schedule.finished
    schedule.done(a1)
    assert schedule.take() is a2
    assert schedule.finished


@given(st.lists(st.sampled_from("abc")), st.randoms(use_true_random=False))
def test_every_invoice_runs_once_and_nobody_overtakes_himself(customers: list[str], chance) -> None:
    invoices = [invoice(str(position), customer) for position, customer in enumerate(customers)]
    schedule, busy, taken = Schedule(invoices), [], []
    while not schedule.finished or busy:
        step = schedule.take() if chance.random() < 0.6 else None
        if step is not None:
            assert step.customer not in {other.customer for other in busy}
            busy.append(step)
            taken.append(step)
        elif busy:
            schedule.done(busy.pop(chance.randrange(len(busy))))

    assert sorted(taken, key=lambda step: int(step.number)) == invoices
    for customer in set(customers):
        numbers = [int(step.number) for step in taken if step.customer == customer]
        assert numbers == sorted(numbers)


def test_the_limit_counts_orders_and_keeps_the_cancellations_among_them() -> None:
    invoices = [invoice("1"), invoice("C2"), invoice("3"), invoice("C4"), invoice("5")]

    assert [step.number for step in first_orders(invoices, 2)] == ["1", "C2", "3", "C4"]
    assert first_orders(invoices, None) == invoices
    assert first_orders(invoices, 0) == []


def test_a_cancellation_means_the_latest_order_with_all_its_lines() -> None:
    first = invoice("1", "1", (MUG, 6), (PLATE, 2))
    second = invoice("2", "1", (MUG, 6), (PLATE, 2))
    third = invoice("3", "1", (MUG, 6))

    assert latest_holding(invoice("C4", "1", (MUG, 2), (PLATE, 1)), [first, second, third]) is second
    assert latest_holding(invoice("C4", "1", (MUG, 6)), [first, second, third]) is third
    assert latest_holding(invoice("C4", "1", (PLATE, 1)), [third]) is None
    assert latest_holding(invoice("C4", "1", (PLATE, 1)), []) is None


def test_a_cancellation_of_more_pieces_than_were_bought_fits_no_order() -> None:
    order = invoice("1", "1", (MUG, 2), (MUG, 1))

    assert latest_holding(invoice("C2", "1", (MUG, 3)), [order]) is order
    assert latest_holding(invoice("C2", "1", (MUG, 2), (MUG, 2)), [order]) is None
    assert latest_holding(invoice("C2", "1", (Article("MUG", 99), 1)), [order]) is None
