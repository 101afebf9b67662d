"""What fails again and again is told each minute, with its reason, in `/readyz` and in a metric."""

from typing import Any

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from shared import trouble
from shared.service.runtime import can_serve
from shared.service.service import Service, every
from shared.trouble import Trouble
from tests.shared.lab import Lab, unique
from tests.shared.tiny.service import tiny
from tests.support.waiting import eventually


class Clock:
    """A clock that a test moves."""

    now = 1000.0

    def monotonic(self) -> float:
        """The time now, in seconds."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock by which troubles are told."""
    clock = Clock()
    monkeypatch.setattr(trouble, "time", clock)
    return clock


def figure(what: str) -> float | None:
    """For how many seconds it has been failing, as Prometheus sees it."""
    return REGISTRY.get_sample_value("shop_failing_seconds", {"what": what})


def test_it_is_told_at_once_then_each_minute_while_it_lasts(clock: Clock) -> None:
    what = unique("link ")
    failing = Trouble(what, "broker.link_failed")
    assert figure(what) == 0
    with capture_logs() as logs:
        for _ in range(150):
            failing.failed("ACCESS_REFUSED")
            clock.now += 1
        assert figure(what) == 150
        failing.over()
        assert figure(what) == 0
    told = [one for one in logs if one["event"] == "broker.link_failed"]
    assert [(one["log_level"], one["times"], one["reason"]) for one in told] == [
        ("warning", 1, "ACCESS_REFUSED"),
        ("warning", 61, "ACCESS_REFUSED"),
        ("warning", 121, "ACCESS_REFUSED"),
    ]
    assert logs[-1]["event"] == "broker.link_failed_over"
    assert failing.reason is None


def test_what_others_tell_of_is_told_only_when_it_lasts(clock: Clock) -> None:
    failing = Trouble(unique("job "), "job.failed")
    with capture_logs() as logs:
        for _ in range(70):
            failing.failed("it waits", silent_s=60)
            clock.now += 1
    assert [one["times"] for one in logs] == [61]


@pytest.mark.parametrize(
    ("checks", "serves"),
    [
        ({"draining": "ok", "database": "ok", "broker": "ok"}, True),
        ({"draining": "ok", "database": "ok", "broker": "not connected: x", "jobs": "failing: y"}, True),
        ({"draining": "ok", "broker": "not connected: x"}, True),
        ({"draining": "ok", "database": "away: x", "broker": "ok"}, False),
        ({"draining": "shutting down", "database": "ok"}, False),
        ({"starting": "not everything has been tried yet", "draining": "ok"}, False),
    ],
)
def test_a_process_is_ready_as_long_as_it_can_do_something(checks: dict[str, str], serves: bool) -> None:
    assert can_serve(checks) == serves


async def test_a_link_that_can_never_come_up_says_why(lab: Lab, url: str) -> None:
    wrong = f"amqp://{lab.user_id}:wrong@{lab.amqp_url.rpartition('@')[2]}"
    with capture_logs() as logs:
        async with lab.running(tiny(unique("svc")), up=False, amqp_url=wrong, database_url=url) as runtime:
            assert not can_serve(await runtime.checks()), "nobody has tried yet"
            checks = await eventually(
                runtime.checks, holds=lambda found: found["broker"].count("REFUSED") == 2
            )
            assert can_serve(checks), "it answers over HTTP"
    told = [one for one in logs if one["event"] == "broker.link_failed"]
    assert {one["log_level"] for one in told} == {"warning"}
    assert len(told) == 2, "once a minute for each link"


async def test_a_job_that_fails_again_and_again_is_named(lab: Lab, url: str) -> None:
    broken = True

    async def tidy_up() -> None:
        if broken:
            raise RuntimeError("no tidying today")

    service = Service(unique("svc"), models=("tests.shared.tiny.models",), jobs=(every(0.02, tidy_up),))
    with capture_logs() as logs:
        async with lab.running(service, database_url=url) as runtime:
            checks: dict[str, Any] = await eventually(runtime.checks, holds=lambda found: "jobs" in found)
            assert "tidy_up" in checks["jobs"]
            assert "no tidying today" in checks["jobs"]
            assert can_serve(checks)
            broken = False
            await eventually(runtime.checks, holds=lambda found: "jobs" not in found)
    assert len([one for one in logs if one["event"] == "job.failed"]) == 1
