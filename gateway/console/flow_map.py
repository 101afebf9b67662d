"""Where the flow map's boxes, lines of text and curves lie. Pure; in units of its own picture.

Publishers stand on the left with their events, listeners on the right with their queues, and a curve leads
from each event to each queue that takes it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from statistics import mean
from typing import TypeVar

from msgspec import Struct

from gateway.operators.flow import Flow, FlowEdge, FlowNode

T = TypeVar("T")

WIDTH = 1040
LEFT_WIDTH, RIGHT_X = 270, 610
HEAD, LINE, FOOT, GAP = 34, 22, 10, 20


class Box(Struct, frozen=True):
    """A service on one side of the map."""

    service: str
    present: bool
    x: int
    y: int
    width: int
    height: int


class Port(Struct, frozen=True):
    """A line of text in a box, and the edge that ends there, if it is a listener's."""

    text: str
    x: int
    y: int
    edge: FlowEdge | None


class Curve(Struct, frozen=True):
    """A way from an event to a queue."""

    path: str
    publisher: str
    is_tap: bool
    has_dead: bool


class FlowPicture(Struct, frozen=True):
    """The whole map."""

    width: int
    height: int
    boxes: list[Box]
    ports: list[Port]
    curves: list[Curve]


def draw(flow: Flow) -> FlowPicture:
    """Lay out the map."""
    nodes = {node.service: node for node in flow.nodes}
    publishers = [node for node in flow.nodes if node.publishes or _is_heard(node, flow.edges)]
    heard = Counter(edge.consumer for edge in flow.edges)
    heights = [_height(len(node.publishes)) for node in publishers], [_height(n) for n in heard.values()]
    height = max(0, *(sum(column) + GAP * (len(column) - 1) for column in heights))
    boxes: list[Box] = []
    ports: list[Port] = []
    curves: list[Curve] = []

    starts: dict[str, tuple[int, int]] = {}
    y, gap = 0, _gap(height, heights[0])
    for node in publishers:
        events = sorted(node.publishes)
        boxes.append(_box(node.service, node.present, 0, y, LEFT_WIDTH, len(events)))
        starts[f"{node.service}.#"] = LEFT_WIDTH, y + HEAD // 2
        for event, at in _lines(events, y):
            ports.append(Port(event, 14, at, None))
            starts[event] = LEFT_WIDTH, at
        y += boxes[-1].height + gap

    y, gap = 0, _gap(height, heights[1])
    for consumer, edges in _listeners(flow.edges, starts):
        node = nodes.get(consumer)
        boxes.append(_box(consumer, bool(node and node.present), RIGHT_X, y, WIDTH - RIGHT_X, len(edges)))
        for edge, at in _lines(edges, y):
            ports.append(Port(_heard(edge), RIGHT_X + 14, at, edge))
            start = starts.get(edge.event) or starts.get(f"{edge.publisher}.#")
            if start is not None:
                curves.append(_curve(start, (RIGHT_X, at), edge))
        y += boxes[-1].height + gap
    return FlowPicture(WIDTH, height, boxes, ports, curves)


def _gap(height: int, boxes: Sequence[int]) -> int:
    """The space between the boxes of a column, so that both columns are equally high."""
    return (height - sum(boxes)) // max(len(boxes) - 1, 1)


def _listeners(
    edges: Iterable[FlowEdge], starts: Mapping[str, tuple[int, int]]
) -> list[tuple[str, list[FlowEdge]]]:
    """The listeners with what they hear, each about as far down as that begins, so that few ways cross."""
    begins = {edge: starts.get(edge.event, starts.get(f"{edge.publisher}.#", (0, 0)))[1] for edge in edges}
    by_listener = groupby(sorted(begins, key=lambda edge: edge.consumer), key=lambda edge: edge.consumer)
    heard = [(consumer, sorted(group, key=begins.__getitem__)) for consumer, group in by_listener]
    return sorted(heard, key=lambda one: mean(begins[edge] for edge in one[1]))


def _is_heard(node: FlowNode, edges: Iterable[FlowEdge]) -> bool:
    """A service that is away and never described itself is still known by those who listen to it."""
    return any(edge.publisher == node.service for edge in edges)


def _heard(edge: FlowEdge) -> str:
    return f"everything of {edge.publisher}" if edge.event.endswith(".#") else edge.event


def _box(service: str, present: bool, x: int, y: int, width: int, lines: int) -> Box:
    return Box(service, present, x, y, width, _height(lines))


def _height(lines: int) -> int:
    return HEAD + lines * LINE + (FOOT if lines else 0)


def _lines(texts: Sequence[T], top: int) -> list[tuple[T, int]]:
    return [(text, top + HEAD + number * LINE + LINE // 2) for number, text in enumerate(texts)]


def _curve(start: tuple[int, int], end: tuple[int, int], edge: FlowEdge) -> Curve:
    (x1, y1), (x2, y2) = start, end
    bend = (x2 - x1) // 2
    path = f"M{x1} {y1}C{x1 + bend} {y1} {x2 - bend} {y2} {x2} {y2}"
    return Curve(path, edge.publisher, edge.queue is None, bool(edge.dead))
