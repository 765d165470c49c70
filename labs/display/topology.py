"""A picture of what a virtual host holds now, asked from the broker: exchanges, bindings, queues, dead-letter routes.

Ready messages and consumers are counted at this moment; the broker's own report may be seconds old.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from labs.broker import Binding, Depth, Exchange, Queue, VirtualHost, depths
from labs.display.layout import Box, Layout, Wire, natural
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
from labs.display.picture import Drawing, Picture, text_width

_HEAD = 40.0
_FOOT = 44.0
_DASHES = "6 4"


@dataclass(frozen=True)
class Snapshot:
    """What a virtual host held at one moment."""

    exchanges: tuple[Exchange, ...]
    queues: tuple[Queue, ...]
    bindings: tuple[Binding, ...]


def snapshot(vhost: VirtualHost) -> Snapshot:
    """Ask the broker; exchanges that every virtual host has are left out, unless something is bound to them."""
    bindings = vhost.bindings()
    bound = {binding.source for binding in bindings}
    exchanges = [e for e in vhost.management.exchanges(vhost.name) if e.name in bound or _is_own(e)]
    queues = {queue.name: queue for queue in vhost.queues()}
    exact = depths(vhost.amqp_url, list(queues))
    counted = [_counted(queue, exact.get(queue.name)) for queue in queues.values()]
    return Snapshot(tuple(exchanges), tuple(queue for queue in counted if queue is not None), tuple(bindings))


def _is_own(exchange: Exchange) -> bool:
    return bool(exchange.name) and not exchange.name.startswith("amq.")


def _counted(queue: Queue, exact: Depth | None) -> Queue | None:
    """With exact numbers; only the owner of an exclusive queue may ask for them. Any other without them is gone."""
    if exact is None:
        return queue if queue.exclusive else None
    return queue.model_copy(update={"messages_ready": exact.messages, "consumers": exact.consumers})


def topology(vhost: VirtualHost, *, title: str = "The topology now") -> Picture:
    """Draw a virtual host as it is now.

    Raises:
        BrokerError: the broker or its management API doesn't answer.
    """
    return draw(snapshot(vhost), title=title)


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
class _Node:
    """A box of the picture; its key is `exchange NAME` or `queue NAME`."""

    key: str
    look: str
    name: str
    detail: str
    ready: int | None = None


@dataclass(frozen=True)
class _Route:
    """An arrow of the picture: a binding, or what happens to messages that die."""

    source: str
    target: str
    labels: tuple[str, ...]
    dead: bool = False
    #: Expiring is the queue's purpose: this is the way back from a delay.
    delayed: bool = False


def draw(found: Snapshot, *, title: str = "The topology now") -> Picture:
    """Draw a snapshot."""
    routes = [*_bindings(found), *_deaths(found)]
    nodes = _nodes(found, routes)
    words = _in_words(nodes, routes, title)
    if not nodes:
        return _empty(title, words)
    wires = [Wire(route.source, route.target, route.labels, backward=route.delayed) for route in routes]
    boxes = {key: Box(key, _width(node), 42.0 if node.detail else 32.0) for key, node in nodes.items()}
    widths = {label: text_width(label, size=11) for wire in wires for label in wire.labels}
    placed = Layout(boxes, wires, widths)
    drawing = Drawing()
    drawing.text((0, 12), title, size=15, weight="bold")
    for route, wire in zip(routes, wires, strict=True):
        _draw_route(drawing, route, wire)
    for key, node in nodes.items():
        _draw_node(drawing, node, boxes[key])
    bottom = _HEAD + placed.height + _FOOT
    legend = _draw_legend(drawing, nodes.values(), routes, bottom - 8)
    width = max(placed.width, legend, text_width(title, size=15, weight="bold"))
    return Picture(drawing.svg(width, bottom, title=title), words)


def _bindings(found: Snapshot) -> list[_Route]:
    """One arrow for each pair of exchange and destination, with all keys."""
    kinds = {exchange.name: exchange.type for exchange in found.exchanges}
    keys: dict[tuple[str, str], list[str]] = {}
    for binding in found.bindings:
        pair = (f"exchange {binding.source}", f"{binding.destination_type} {binding.destination}")
        keys.setdefault(pair, []).append(_condition(binding, kinds.get(binding.source, "")))
    return [
        _Route(source, target, tuple(key for key in sorted(set(labels)) if key))
        for (source, target), labels in sorted(keys.items(), key=lambda item: [natural(part) for part in item[0]])
    ]


def _condition(binding: Binding, kind: str) -> str:
    """What a message must have to follow the binding; a fanout exchange doesn't look at the key."""
    if kind == "headers":
        return ", ".join(f"{name}={value}" for name, value in sorted(binding.arguments.items()))
    return "" if kind == "fanout" else binding.routing_key


def _deaths(found: Snapshot) -> list[_Route]:
    routes = []
    for queue in sorted(found.queues, key=lambda queue: natural(queue.name)):
        exchange = queue.arguments.get("x-dead-letter-exchange")
        if exchange is None:
            continue
        key = queue.arguments.get("x-dead-letter-routing-key")
        # The default exchange routes to the queue that the key names: show where letters end, not how they get there.
        target = f"exchange {exchange}" if exchange else f"queue {key or queue.name}"
        ttl_ms = queue.arguments.get("x-message-ttl")
        labels = (f"after {ttl_ms} ms",) if ttl_ms is not None else ("dead letters",)
        if exchange and key:
            labels = (f"{labels[0]}, key {key}",)
        delayed = ttl_ms is not None and not _is_bound(found, queue.name)
        routes.append(_Route(f"queue {queue.name}", target, labels, dead=True, delayed=delayed))
    return routes


def _is_bound(found: Snapshot, queue: str) -> bool:
    return any(binding.destination == queue and binding.destination_type == "queue" for binding in found.bindings)


def _nodes(found: Snapshot, routes: list[_Route]) -> dict[str, _Node]:
    """Every box, and the default exchange for queues that nothing else leads to: it adds its routes."""
    nodes = {f"exchange {e.name}": _Node(f"exchange {e.name}", "exchange", e.name, e.type) for e in found.exchanges}
    buried = {route.target for route in routes if route.dead and not route.delayed}
    for queue in found.queues:
        sources = {f"exchange {b.source}" for b in found.bindings if b.destination == queue.name}
        is_grave = sources <= buried if sources else f"queue {queue.name}" in buried
        node = _queue_node(queue, is_grave=is_grave)
        nodes[node.key] = node
    led_to = {route.target for route in routes}
    delays = {route.source for route in routes if route.delayed}
    default = [key for key in nodes if key.startswith("queue ") and key not in led_to and key not in delays]
    # A work queue that only its own delays lead back to is filled through the default exchange too.
    default += sorted({r.target for r in routes if r.delayed} - {r.target for r in routes if not r.delayed})
    for key in dict.fromkeys(default):
        nodes["exchange "] = _Node("exchange ", "exchange", "default exchange", "direct, to the queue named by the key")
        routes.append(_Route("exchange ", key, (key.removeprefix("queue "),)))
    for key in sorted(led_to - set(nodes)):
        nodes[key] = _Node(key, "missing", key, "does not exist: dead letters are dropped")
    return nodes


def _queue_node(queue: Queue, *, is_grave: bool) -> _Node:
    if is_grave:
        look = "dead"
    else:
        look = "delay" if {"x-message-ttl", "x-dead-letter-exchange"} <= set(queue.arguments) else "work"
    facts = [queue.type]
    facts.append(_count(queue.consumers, "consumer") if queue.consumers else "no consumer")
    return _Node(f"queue {queue.name}", look, queue.name, ", ".join(facts), queue.messages_ready)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _width(node: _Node) -> float:
    badge = 0.0 if node.ready is None else _badge_width(node.ready) + 10
    return max(text_width(node.name, weight="bold") + badge, text_width(node.detail, size=11)) + 24


def _badge_width(ready: int) -> float:
    return max(22.0, text_width(str(ready), size=11, weight="bold") + 12)


def _draw_node(drawing: Drawing, node: _Node, box: Box) -> None:
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


def _draw_route(drawing: Drawing, route: _Route, wire: Wire) -> None:
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


def _colour(route: _Route) -> str:
    if route.delayed:
        return ORANGE
    return VERMILION if route.dead else BLUE


def _draw_legend(drawing: Drawing, nodes: Iterable[_Node], routes: Sequence[_Route], baseline: float) -> float:
    """Explains what this picture uses; returns its width."""
    looks = {node.look for node in nodes}
    names = {"exchange": "exchange", "work": "queue", "delay": "delay queue", "dead": "dead-letter queue"}
    left = 0.0
    for look, name in names.items():
        if look in looks:
            style = _LOOKS[look]
            drawing.box((left, baseline - 10), (18, 12), fill=style.fill, border=style.border, radius=style.radius / 3)
            drawing.text((left + 24, baseline), name, size=11, colour=FAINT)
            left += 24 + text_width(name, size=11) + 16
    kinds = {
        "binding, with its key": [route for route in routes if not route.dead],
        "dead letters go": [route for route in routes if route.dead and not route.delayed],
        "comes back after a delay": [route for route in routes if route.delayed],
    }
    for name, members in kinds.items():
        if members:
            dashes = _DASHES if members[0].dead else ""
            drawing.line(
                (left, baseline - 4), (left + 26, baseline - 4), colour=_colour(members[0]), width=2, dashes=dashes
            )
            drawing.text((left + 32, baseline), name, size=11, colour=FAINT)
            left += 32 + text_width(name, size=11) + 16
    if any(node.ready is not None for node in nodes):
        _draw_badge(drawing, 3, right=left + 22, top=baseline - 13)
        drawing.text((left + 28, baseline), "ready messages", size=11, colour=FAINT)
        left += 28 + text_width("ready messages", size=11)
    return left


def _empty(title: str, words: str) -> Picture:
    drawing = Drawing()
    drawing.text((0, 12), title, size=15, weight="bold")
    note = "nothing here yet but the default exchange, which routes to the queue that the key names"
    drawing.text((0, 40), note, colour=FAINT)
    return Picture(drawing.svg(text_width(note), 44, title=title), words)


def _in_words(nodes: Mapping[str, _Node], routes: Sequence[_Route], title: str) -> str:
    lines = [title]
    for key in sorted(nodes, key=natural):
        node = nodes[key]
        kind = "exchange" if key.startswith("exchange ") else "queue"
        ready = "" if node.ready is None else f": {node.ready} ready"
        name = node.name if node.look != "missing" else key.split(" ", maxsplit=1)[1]
        lines.append(f"{kind} {name} ({node.detail}){ready}")
        for route in (route for route in routes if route.source == key):
            arrow = f"..{', '.join(route.labels)}..>" if route.dead else f"--{', '.join(route.labels)}-->"
            lines.append(f"    {arrow} {route.target}")
    if not nodes:
        lines.append("nothing but the default exchange")
    return "\n".join(lines)
