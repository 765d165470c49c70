"""A picture of what a virtual host holds now, asked from the broker: exchanges, bindings, queues, dead-letter routes.

Ready messages and consumers are counted at this moment; the broker's own report may be seconds old.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from labs.broker import Binding, Depth, Exchange, Queue, VirtualHost, depths
from labs.display.layout import natural
from labs.display.picture import Picture
from labs.display.topology_drawing import Node, Route, drawn


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


def topology(vhost: VirtualHost, *, title: str = "The topology now", exchanges: Collection[str] = ()) -> Picture:
    """Draw a virtual host as it is now.

    Args:
        vhost: whose.
        title: what to see.
        exchanges: draw only these and what messages can come to from there; by default everything.

    Raises:
        BrokerError: the broker or its management API doesn't answer.
    """
    found = snapshot(vhost)
    return draw(behind(found, exchanges) if exchanges else found, title=title)


def behind(found: Snapshot, exchanges: Collection[str]) -> Snapshot:
    """Only these exchanges, and what is behind them: queues, where their dead letters go, where their retries wait."""
    reached = {f"exchange {name}" for name in exchanges}
    routes = [*_bindings(found), *_alternates(found), *_deaths(found)]
    while (
        more := {
            *(route.target for route in routes if route.source in reached),
            *(route.source for route in routes if route.delayed and route.target in reached),
        }
        - reached
    ):
        reached |= more
    return Snapshot(
        tuple(exchange for exchange in found.exchanges if f"exchange {exchange.name}" in reached),
        tuple(queue for queue in found.queues if f"queue {queue.name}" in reached),
        tuple(binding for binding in found.bindings if f"exchange {binding.source}" in reached),
    )


def draw(found: Snapshot, *, title: str = "The topology now") -> Picture:
    """Draw a snapshot."""
    routes = [*_bindings(found), *_alternates(found), *_deaths(found)]
    nodes = _nodes(found, routes)
    return Picture(drawn(nodes, routes, title=title), _in_words(nodes, routes, title))


def _bindings(found: Snapshot) -> list[Route]:
    """One arrow for each pair of exchange and destination, with all keys."""
    kinds = {exchange.name: exchange.type for exchange in found.exchanges}
    keys: dict[tuple[str, str], list[str]] = {}
    for binding in (binding for binding in found.bindings if binding.source in kinds):
        pair = (f"exchange {binding.source}", f"{binding.destination_type} {binding.destination}")
        keys.setdefault(pair, []).append(_condition(binding, kinds.get(binding.source, "")))
    return [
        Route(source, target, tuple(key for key in sorted(set(labels)) if key))
        for (source, target), labels in sorted(keys.items(), key=lambda item: [natural(part) for part in item[0]])
    ]


def _alternates(found: Snapshot) -> list[Route]:
    """Where an exchange sends what no binding of its own wants."""
    others = [(exchange.name, exchange.arguments.get("alternate-exchange")) for exchange in found.exchanges]
    return [Route(f"exchange {name}", f"exchange {other}", ("unroutable",)) for name, other in others if other]


def _condition(binding: Binding, kind: str) -> str:
    """What a message must have to follow the binding; a fanout exchange doesn't look at the key."""
    if kind == "headers":
        return ", ".join(f"{name}={value}" for name, value in sorted(binding.arguments.items()))
    return "" if kind == "fanout" else binding.routing_key


def _deaths(found: Snapshot) -> list[Route]:
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
        routes.append(Route(f"queue {queue.name}", target, labels, dead=True, delayed=delayed))
    return routes


def _is_bound(found: Snapshot, queue: str) -> bool:
    return any(binding.destination == queue and binding.destination_type == "queue" for binding in found.bindings)


def _nodes(found: Snapshot, routes: list[Route]) -> dict[str, Node]:
    """Every box, and the default exchange for queues that nothing else leads to: it adds its routes."""
    nodes = {f"exchange {e.name}": Node(f"exchange {e.name}", "exchange", e.name, e.type) for e in found.exchanges}
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
        nodes["exchange "] = Node("exchange ", "exchange", "default exchange", "direct, to the queue named by the key")
        routes.append(Route("exchange ", key, (key.removeprefix("queue "),)))
    for key in sorted(led_to - set(nodes)):
        nodes[key] = Node(key, "missing", key, "does not exist: dead letters are dropped")
    return nodes


def _queue_node(queue: Queue, *, is_grave: bool) -> Node:
    if is_grave:
        look = "dead"
    else:
        look = "delay" if {"x-message-ttl", "x-dead-letter-exchange"} <= set(queue.arguments) else "work"
    if queue.exclusive:  # what only its owner may count is not guessed
        return Node(f"queue {queue.name}", look, queue.name, f"{queue.type}, exclusive", None)
    consumers = _count(queue.consumers, "consumer") if queue.consumers else "no consumer"
    return Node(f"queue {queue.name}", look, queue.name, f"{queue.type}, {consumers}", queue.messages_ready)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _in_words(nodes: Mapping[str, Node], routes: Sequence[Route], title: str) -> str:
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
