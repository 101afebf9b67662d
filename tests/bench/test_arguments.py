"""What can be asked of the benchmark."""

import pytest

from bench.__main__ import COSTLY, MEASURES, chosen, parser


def test_everything_is_measured_unless_names_are_given() -> None:
    assert chosen(parser().parse_args([])) == list(MEASURES)
    assert chosen(parser().parse_args(["saga", "rpc"])) == ["rpc", "saga"]


def test_quick_leaves_out_what_is_costly_unless_it_is_named() -> None:
    quick = chosen(parser().parse_args(["--quick"]))
    assert set(MEASURES) - set(quick) == set(COSTLY)
    assert chosen(parser().parse_args(["--quick", "long"])) == ["long"]


def test_a_wrong_name_is_refused_with_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(["sagas"])
    assert "there is no 'sagas'; there are rpc, saga" in capsys.readouterr().err
