"""The arithmetic of ratios, and what is made of them."""

import msgspec
import pytest

from bench.figures import Aim, Key, Ledger, at_share
from bench.report import document, number

OURS, PEER = Key("orders/s", "ours"), Key("orders/s", "peer")
FASTER = Aim("orders/s, by the peer", OURS, PEER, at_least=2)


def ledger(*rounds: tuple[float, float]) -> Ledger:
    made = Ledger()
    for ours, peer in rounds:
        made.note(*OURS, ours, "/s")
        made.note(*PEER, peer, "/s")
    return made


def test_a_ratio_is_the_median_of_the_rounds_ratios() -> None:
    # In the second round the machine was busy with something else: both sides were slow, the ratio holds.
    assert ledger((300, 100), (30, 10), (400, 100)).reached(FASTER) == 3


def test_what_was_not_measured_has_no_ratio() -> None:
    only_ours = Ledger()
    only_ours.note(*OURS, 100, "/s")
    assert only_ours.reached(FASTER) is None
    assert ledger((100, 0)).reached(FASTER) is None


@pytest.mark.parametrize(
    ("aim", "value", "met"),
    [
        (FASTER, 2.0, True),
        (FASTER, 1.99, False),
        (Aim("memory", OURS, None, at_most=450), 450, True),
        (Aim("memory", OURS, None, at_most=450), 451, False),
    ],
)
def test_an_aim_points_up_or_down(aim: Aim, value: float, met: bool) -> None:
    assert aim.is_met(value) is met


def test_the_document_holds_every_round_and_says_what_is_missing() -> None:
    found = ledger((300, 100), (200, 100))
    found.say("nameko: not measured")
    missing = Aim("nobody's", Key("orders/s", "nobody"), None, at_least=1)
    told = msgspec.json.decode(msgspec.json.encode(document(found, [FASTER, missing], {"rounds": 2})))
    assert [ratio["met"] for ratio in told["ratios"]] == [True, None]
    assert told["figures"][0]["rounds"] == [300, 200]
    assert told["notes"] == ["nameko: not measured"]


def test_shares_and_numbers() -> None:
    ordered = [float(value) for value in range(1, 101)]
    assert (at_share(ordered, 0.5), at_share(ordered, 0.99), at_share([], 0.5)) == (51.0, 100.0, 0.0)
    assert (number(1234.5), number(0.12345)) == ("1,234", "0.123")
