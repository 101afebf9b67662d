"""Breakers and the budget of repetitions: pure rules, with a clock that is given."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.rpc.breaker import Breaker, Open
from shared.rpc.retries import RESERVE, SHARE, RetryBudget

THRESHOLD, OPEN_S = 3, 10.0


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def ask(breaker: Breaker, answered: bool | None) -> bool:
    """One who asks and hears something, nothing, or goes away; returns whether he was let through."""
    try:
        ticket = breaker.enter()
    except Open:
        return False
    breaker.leave(ticket, answered)
    return True


OK, NO, GONE, WAIT, SHUT = "ok", "no", "gone", "wait", "shut"


@pytest.mark.parametrize(
    "story",
    [
        [OK] * 9,
        [NO, NO, NO, SHUT],
        [NO, NO, OK, NO, NO, OK],  # only failures in a row count
        [NO, NO, GONE, NO, SHUT],  # who goes away is neither a failure nor an answer
        [GONE] * 9,
        [NO, NO, NO, SHUT, WAIT, OK, NO, NO, OK],  # closed again, it counts from the beginning
        [NO, NO, NO, SHUT, WAIT, NO, SHUT],  # one failure of the one who tries is enough
        [NO, NO, NO, SHUT, WAIT, GONE, OK],  # the next one tries then
    ],
    ids=" ".join,
)
def test_what_opens_and_closes_it(story: list[str]) -> None:
    clock = Clock()
    breaker = Breaker(THRESHOLD, OPEN_S, clock)
    for step in story:
        if step == WAIT:
            clock.now += OPEN_S
        else:
            said = {OK: True, NO: False, GONE: None, SHUT: None}[step]
            assert ask(breaker, said) == (step != SHUT), story


def test_it_says_when_it_is_worth_asking_again_and_lets_one_try() -> None:
    clock = Clock()
    breaker = Breaker(1, OPEN_S, clock)
    assert ask(breaker, False)
    clock.now += 4
    with pytest.raises(Open) as refused:
        breaker.enter()
    assert refused.value.retry_after_s == OPEN_S - 4
    clock.now += 6
    ticket = breaker.enter()
    with pytest.raises(Open):
        breaker.enter()  # as long as one tries, nobody else does
    breaker.leave(ticket, True)
    assert ask(breaker, True)


_STEPS = st.lists(
    st.one_of(
        st.just("enter"),
        st.floats(0, 2 * OPEN_S).map(lambda seconds: ("wait", seconds)),
        st.tuples(st.just("leave"), st.integers(0, 20), st.sampled_from([True, False, None])),
    ),
    max_size=60,
)


@given(_STEPS)
def test_whoever_leaves_in_whatever_order_open_means_open_and_half_open_means_one(
    steps: list[object],
) -> None:
    clock = Clock()
    breaker = Breaker(THRESHOLD, OPEN_S, clock)
    inside: list[tuple[int, bool]] = []
    for step in steps:
        match step:
            case "enter":
                until, trying = breaker._open_until, any(probe for _, probe in inside)
                if until is not None and (clock.now < until or trying):
                    with pytest.raises(Open) as refused:
                        breaker.enter()
                    assert 0 <= refused.value.retry_after_s <= OPEN_S + 1e-9
                else:
                    inside.append((breaker.enter(), until is not None))
            case ("wait", float(seconds)):
                clock.now += seconds
            case ("leave", int(place), answered) if inside:
                ticket, probe = inside.pop(place % len(inside))
                was_open = breaker._open_until is not None
                assert answered is None or isinstance(answered, bool)
                breaker.leave(ticket, answered)
                if was_open and not probe:  # let through before it opened: nothing new
                    assert breaker._open_until is not None
                if probe and answered is not None:
                    assert (breaker._open_until is None) == answered
            case _:
                pass
    # Whatever happened, when all have left it lets somebody through after a while.
    for ticket, _ in inside:
        breaker.leave(ticket, None)
    clock.now += OPEN_S
    assert ask(breaker, True)
    assert ask(breaker, True)


@given(st.lists(st.booleans(), max_size=400))
def test_at_most_a_tenth_of_the_calls_is_repeated_and_a_few_to_begin_with(wished: list[bool]) -> None:
    budget = RetryBudget()
    repeated = 0
    for calls, wish in enumerate(wished, start=1):
        budget.add()
        repeated += wish and budget.take()
        assert repeated <= RESERVE + SHARE * calls + 1e-9
    for _ in range(1000):
        budget.add()
    assert budget.take()
