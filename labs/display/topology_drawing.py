"""Draws a topology: boxes for exchanges and queues, arrows for bindings, dashed ones for dead letters, and a legend."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from labs.display.layout import Box, Layout, Wire
from labs.display.palette import (
    BLUE,
    FAINT,
    GREEN,
    INK,
    ORANGE,
    PALE_BLUE,
    PALE_GREEN,
    PALE_ORANGE,
    PALE_VERMILION,
    PAPER,
    VERMILION,
)
from labs.display.picture import Drawing, text_width

_HEAD = 40.0
_FOOT = 44.0
_DASHES = "6 4"
#: Pixels of a letter in the legend: nothing is drawn round it, so it may be closer than in boxes.
_LEGEND_PX = 5.5
_NOTHING = "nothing here yet but the default exchange, which routes to the queue that the key names"


@dataclass(frozen=True)
class _Look:
    fill: str
    border: str
    radius: float = 4
    dashes: str = ""


_LOOKS = {
    "exchange": _Look(PALE_BLUE, BLUE, radius=18),
    "work": _Look(PALE_GREEN, GREEN),
    "delay": _Look(PALE_ORANGE, ORANGE),
    "dead": _Look(PALE_VERMILION, VERMILION),
    "missing": _Look(PAPER, VERMILION, dashes="3 3"),
}


@dataclass(frozen=True)
class Node:
    """A box of the picture; its key is `exchange NAME` or `queue NAME`."""

    key: str
    look: str
    name: str
    detail: str
    ready: int | None = None


@dataclass(frozen=True)
class Route:
    """An arrow of the picture: a binding, or what happens to messages that die."""

    source: str
    target: str
    labels: tuple[str, ...]
    dead: bool = False
    #: Expiring is the queue's purpose: this is the way back from a delay.
    delayed: bool = False


def drawn(nodes: Mapping[str, Node], routes: Sequence[Route], *, title: str) -> str:
    """The SVG of these boxes and arrows."""
    drawing = Drawing()
    drawing.text((0, 12), title, size=15, weight="bold")
    if not nodes:
        drawing.text((0, 40), _NOTHING, colour=FAINT)
        return drawing.svg(text_width(_NOTHING), 44, title=title)
    wires = [Wire(route.source, route.target, route.labels, backward=route.delayed) for route in routes]
    boxes = {key: Box(key, _width(node), 42.0) for key, node in nodes.items()}
    placed = Layout(boxes, wires, {label: text_width(label, size=11) for wire in wires for label in wire.labels})
    for route, wire in zip(routes, wires, strict=True):
        _draw_route(drawing, route, wire)
    for key, node in nodes.items():
        _draw_node(drawing, node, boxes[key])
    bottom = _HEAD + placed.height + _FOOT
    legend = _draw_legend(drawing, nodes.values(), routes, bottom - 8)
    width = max(placed.width, legend, text_width(title, size=15, weight="bold"))
    return drawing.svg(width, bottom, title=title)


def _width(node: Node) -> float:
    badge = 0.0 if node.ready is None else _badge_width(node.ready) + 10
    return max(text_width(node.name, weight="bold") + badge, text_width(node.detail, size=11)) + 24


def _badge_width(ready: int) -> float:
    return max(22.0, text_width(str(ready), size=11, weight="bold") + 12)


def _draw_node(drawing: Drawing, node: Node, box: Box) -> None:
    look = _LOOKS[node.look]
    at = (box.left, box.top + _HEAD)
    drawing.box(at, (box.width, box.height), fill=look.fill, border=look.border, radius=look.radius, dashes=look.dashes)
    middle = box.middle + _HEAD
    if node.look == "exchange":
        centre = box.left + box.width / 2
        drawing.text((centre, middle - 2), node.name, weight="bold", anchor="middle", halo=False)
        drawing.text((centre, middle + 13), node.detail, size=11, colour=FAINT, anchor="middle", halo=False)
        return
    drawing.text((box.left + 12, middle - 2), node.name, weight="bold", halo=False)
    drawing.text((box.left + 12, middle + 13), node.detail, size=11, colour=FAINT, halo=False)
    if node.ready is not None:
        _draw_badge(drawing, node.ready, right=box.left + box.width - 8, top=middle - 16)


def _draw_badge(drawing: Drawing, ready: int, *, right: float, top: float) -> None:
    """How many messages wait: dark when there are any."""
    width = _badge_width(ready)
    fill, ink = (INK, PAPER) if ready else (PAPER, FAINT)
    drawing.box((right - width, top), (width, 17), fill=fill, border=INK if ready else FAINT, radius=8.5, width=1)
    number = (right - width / 2, top + 12.5)
    drawing.text(number, str(ready), size=11, colour=ink, weight="bold", anchor="middle", halo=False)


def _draw_route(drawing: Drawing, route: Route, wire: Wire) -> None:
    colour = _colour(route)
    dashes = _DASHES if route.dead else ""
    (x1, y1), (x2, y2) = _lowered(wire.start), _lowered(wire.end)
    if x1 == x2:  # a box to itself, or to one in its own column: round the left side
        drawing.path(f"M{x1} {y1}C{x1 - 46} {y1} {x1 - 46} {y2} {x2} {y2}", colour=colour, dashes=dashes)
        drawing.arrow_head((x2, y2), direction=(1, 0), colour=colour)
        return
    forward = x1 < x2
    (left, left_y), (right, right_y) = ((x1, y1), (x2, y2)) if forward else ((x2, y2), (x1, y1))
    bend, reach = wire.label_left, (wire.label_left - left) / 2
    curve = f"C{left + reach} {left_y} {bend - reach} {right_y} {bend} {right_y}"
    drawing.path(f"M{left} {left_y}{curve}L{right} {right_y}", colour=colour, dashes=dashes)
    drawing.arrow_head((x2, y2), direction=(1 if forward else -1, 0), colour=colour)
    for number, label in enumerate(reversed(wire.labels)):
        at = (wire.label_left + 2, right_y - 4 - 13 * number)
        drawing.text(at, label, size=11, colour=INK)


def _lowered(point: tuple[float, float]) -> tuple[float, float]:
    return point[0], point[1] + _HEAD


def _colour(route: Route) -> str:
    if route.delayed:
        return ORANGE
    return VERMILION if route.dead else BLUE


def _draw_legend(drawing: Drawing, nodes: Iterable[Node], routes: Sequence[Route], baseline: float) -> float:
    """Explains what this picture uses; returns its width."""
    looks = {node.look for node in nodes}
    names = {"exchange": "exchange", "work": "queue", "delay": "delay queue", "dead": "dead-letter queue"}
    left = 0.0
    for look, name in names.items():
        if look in looks:
            style = _LOOKS[look]
            drawing.box((left, baseline - 10), (18, 12), fill=style.fill, border=style.border, radius=style.radius / 3)
            drawing.text((left + 24, baseline), name, size=11, colour=FAINT)
            left += 24 + _LEGEND_PX * len(name) + 16
    kinds = {
        "binding and its key": [route for route in routes if not route.dead],
        "dead letters": [route for route in routes if route.dead and not route.delayed],
        "back after a delay": [route for route in routes if route.delayed],
    }
    for name, members in kinds.items():
        if members:
            dashes = _DASHES if members[0].dead else ""
            drawing.line(
                (left, baseline - 4), (left + 26, baseline - 4), colour=_colour(members[0]), width=2, dashes=dashes
            )
            drawing.text((left + 32, baseline), name, size=11, colour=FAINT)
            left += 32 + _LEGEND_PX * len(name) + 16
    if any(node.ready is not None for node in nodes):
        _draw_badge(drawing, 3, right=left + 22, top=baseline - 13)
        drawing.text((left + 28, baseline), "ready messages", size=11, colour=FAINT)
        left += 28 + _LEGEND_PX * len("ready messages")
    return left
