"""Where things lie in the console's pictures: timelines, charts, the flow map."""

from datetime import timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gateway.console import charts, flow_map, timeline_picture
from gateway.console.charts import Value
from tests.console.samples import at, edge, flow, step, timeline


def test_bars_lie_in_time_and_fill_the_width() -> None:
    picture = timeline_picture.draw(
        timeline(step("item", 0, 1), step("coupon", 0, 4), step("payment", 1, 3)), at(9)
    )
    assert [(bar.x, bar.width) for bar in picture.bars] == [(0, 25), (0, 100), (25, 50)]
    assert (picture.seconds, picture.pauses) == (4, [])


def test_a_step_that_is_waited_for_grows_until_now() -> None:
    steps = timeline(step("item", 0, 5), step("payment", 0, None))
    assert [bar.width for bar in timeline_picture.draw(steps, at(10)).bars] == [50, 100]
    assert [bar.width for bar in timeline_picture.draw(steps, at(20)).bars] == [25, 100]


def test_a_step_backwards_points_to_where_its_service_began() -> None:
    steps = timeline(step("order", 0, 1), step("item", 1, 2), step("item", 3, 4, backwards=True))
    order, item, back = timeline_picture.draw(steps, at(4)).bars
    assert (order.back_to, item.back_to, back.back_to) == (None, None, item.x)


def test_what_was_done_in_no_time_is_a_point() -> None:
    first, second = timeline_picture.draw(timeline(step("order", 0, 0), step("item", 0, 1)), at(1)).bars
    assert (first.width, second.width) == (0, 100)


def test_a_long_pause_is_drawn_short_and_told() -> None:
    picture = timeline_picture.draw(timeline(step("item", 0, 1), step("payment", 3601, 3602)), at(9999))
    first, second = picture.bars
    assert first.width == second.width > 40
    assert second.after_pause == timedelta(hours=1)
    assert len(picture.pauses) == 1
    assert first.x + first.width < picture.pauses[0] < second.x


@given(
    st.lists(st.tuples(st.floats(0, 1e6), st.one_of(st.none(), st.floats(0, 1e6))), min_size=1, max_size=12)
)
def test_every_bar_stays_within_the_picture(times: list[tuple[float, float | None]]) -> None:
    steps = [step("item", start, None if took is None else start + took) for start, took in times]
    picture = timeline_picture.draw(timeline(*steps), at(3e6))
    for bar in picture.bars:
        assert bar.x >= 0
        assert bar.x + bar.width <= 100.02


def test_an_order_without_steps_has_an_empty_picture() -> None:
    assert timeline_picture.draw(timeline(), at(0)).bars == []


def test_columns_stand_on_the_line_and_what_was_taken_back_hangs_below() -> None:
    chart = charts.columns([Value("a", 100, 0, ""), Value("b", 50, 25, "")])
    first, second = chart.columns
    assert first.y + first.height == second.y + second.height == chart.zero
    assert (second.height, second.below) == (first.height / 2, first.height / 4)
    assert [mark.text for mark in chart.lines] == ["−50", "0", "50", "100"]  # noqa: RUF001


@given(st.lists(st.tuples(st.integers(0, 10**15), st.integers(0, 10**15)), max_size=400))
def test_every_chart_fits_into_its_frame(values: list[tuple[int, int]]) -> None:
    chart = charts.columns([Value("x", amount, back, "") for amount, back in values])
    for column in chart.columns:
        assert column.y >= charts.TOP - 0.2
        assert chart.zero + column.below <= charts.HEIGHT - charts.BOTTOM + 0.2
    assert 2 <= len(chart.lines) <= 14
    assert len(chart.labels) <= charts.MOST_LABELS


def test_the_map_has_a_way_for_every_edge_and_marks_the_dead() -> None:
    picture = flow_map.draw(
        flow(
            {"order": ["order.placed", "order.failed"], "item": ["item.changed"], "gateway": []},
            edge("order.placed", "item", dead=3),
            edge("order.placed", "coupon"),
            edge("order.#", "query"),
            edge("order.failed", "gateway", tap=True),
        )
    )
    assert len(picture.curves) == 4
    assert [curve.has_dead for curve in picture.curves].count(True) == 1
    assert [curve.is_tap for curve in picture.curves].count(True) == 1
    assert "everything of order" in {port.text for port in picture.ports}
    assert sorted(box.service for box in picture.boxes if box.x) == ["coupon", "gateway", "item", "query"]


def test_boxes_of_the_map_do_not_overlap_and_both_columns_end_together() -> None:
    picture = flow_map.draw(
        flow({"order": ["order.a", "order.b"], "item": ["item.a"]}, edge("order.a", "x"), edge("item.a", "y"))
    )
    for side in (0, flow_map.RIGHT_X):
        column = [box for box in picture.boxes if box.x == side]
        for above, below in pairwise(column):
            assert below.y >= above.y + above.height + flow_map.GAP
        assert column[-1].y + column[-1].height == picture.height


def test_an_empty_shop_has_an_empty_map() -> None:
    picture = flow_map.draw(flow({}))
    assert (picture.height, picture.boxes) == (0, [])
