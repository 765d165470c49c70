"""The diagram of a virtual host: drawn from the broker as it is, complete, and without overlaps at any size."""

from __future__ import annotations

import re
from itertools import combinations
from xml.etree import ElementTree

import pika
import pytest

from labs.broker import Binding, Exchange, Queue, VirtualHost
from labs.display import Picture, Snapshot, draw, topology
from labs.display.topology import behind

SVG = "{http://www.w3.org/2000/svg}"


def exchange(name: str, kind: str = "topic", **arguments: object) -> Exchange:
    dashed = {key.replace("_", "-"): value for key, value in arguments.items()}
    return Exchange(name=name, vhost="v", type=kind, durable=True, auto_delete=False, internal=False, arguments=dashed)


def queue(name: str, *, ready: int = 0, **arguments: object) -> Queue:
    dashed = {f"x-{key.replace('_', '-')}": value for key, value in arguments.items()}
    return Queue(name=name, vhost="v", type="quorum", durable=True, arguments=dashed, messages_ready=ready)


def binding(source: str, destination: str, key: str, kind: str = "queue") -> Binding:
    return Binding(source=source, destination=destination, destination_type=kind, routing_key=key, vhost="v")


def work(name: str) -> list[Queue]:
    """A work queue as the lab has them: three delays and a dead-letter queue."""
    delays = [
        queue(f"{name}.retry.{ms}", message_ttl=ms, dead_letter_exchange="", dead_letter_routing_key=name)
        for ms in (400, 1000, 2000)
    ]
    return [queue(name, dead_letter_exchange="", dead_letter_routing_key=f"{name}.dlq"), queue(f"{name}.dlq"), *delays]


def large() -> Snapshot:
    """Thirty queues under three exchanges."""
    names = [f"system{number}.work" for number in range(6)]
    bindings = [binding(f"events{number % 3}", name, f"key.{number}") for number, name in enumerate(names)]
    queues = [one for name in names for one in work(name)]
    return Snapshot(tuple(exchange(f"events{number}") for number in range(3)), tuple(queues), tuple(bindings))


def boxes(picture: Picture) -> list[tuple[float, float, float, float]]:
    """Left, top, right and bottom of the boxes of exchanges and queues."""
    found = [rect.attrib for rect in ElementTree.fromstring(picture.svg).iter(f"{SVG}rect")][1:]  # the first is paper
    sizes = [[float(rect[name]) for name in ("x", "y", "width", "height")] for rect in found]
    return [(x, y, x + width, y + height) for x, y, width, height in sizes if 30 < height < 200]


def overlap(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


@pytest.mark.parametrize(
    ("found", "nodes"),
    [
        (
            Snapshot(
                (exchange("news"),), (queue("a"), queue("b")), (binding("news", "a", "#"), binding("news", "b", "*"))
            ),
            3,
        ),
        (large(), 33),
    ],
    ids=["three", "thirty-three"],
)
def test_boxes_of_small_and_large_topologies_don_t_overlap(found: Snapshot, nodes: int) -> None:
    drawn = boxes(draw(found))
    assert len(drawn) == nodes
    assert not [pair for pair in combinations(drawn, 2) if overlap(*pair)]


def test_every_name_key_and_depth_is_in_picture_and_text() -> None:
    found = Snapshot((exchange("news"),), (queue("a", ready=17),), (binding("news", "a", "sport.*"),))
    picture = draw(found, title="What is here")
    for words in ("What is here", "news", "sport.*", "17"):
        assert words in picture.svg
        assert words in picture.text
    assert "--sport.*--> queue a" in picture.text


def test_dead_letters_are_dashed_and_delays_lead_back() -> None:
    picture = draw(Snapshot((exchange("e"),), tuple(work("jobs")), (binding("e", "jobs", "k"),)))
    assert "..dead letters..> queue jobs.dlq" in picture.text
    assert "..after 400 ms..> queue jobs" in picture.text
    dashed = [
        path for path in ElementTree.fromstring(picture.svg).iter(f"{SVG}path") if "stroke-dasharray" in path.attrib
    ]
    assert len(dashed) == 1 + 3 + 2  # the legend explains both kinds


def test_delays_are_sorted_as_numbers() -> None:
    picture = draw(Snapshot((exchange("e"),), tuple(work("jobs")), (binding("e", "jobs", "k"),)))
    names = re.findall(r">(jobs\.retry\.\d+)<", picture.svg)
    assert names == ["jobs.retry.400", "jobs.retry.1000", "jobs.retry.2000"]


def test_a_dead_letter_exchange_that_is_missing_is_shown_as_missing() -> None:
    picture = draw(Snapshot((), (queue("jobs", dead_letter_exchange="nowhere"),), ()))
    assert "exchange nowhere (does not exist: dead letters are dropped)" in picture.text


def test_a_queue_without_a_binding_hangs_on_the_default_exchange() -> None:
    picture = draw(Snapshot((), (queue("hello"),), ()))
    assert "exchange default exchange" in picture.text
    assert "--hello--> queue hello" in picture.text


def test_cycles_and_exchanges_bound_to_exchanges_are_drawn() -> None:
    around = Snapshot(
        (exchange("a", "fanout"), exchange("b", "fanout")),
        (queue("self", dead_letter_exchange="", dead_letter_routing_key="self"),),
        (binding("a", "b", "", "exchange"), binding("b", "a", "", "exchange"), binding("b", "self", "")),
    )
    assert len(boxes(draw(around))) == 3


def test_what_an_exchange_can_t_route_goes_to_its_alternate_exchange() -> None:
    found = Snapshot(
        (exchange("orders", alternate_exchange="unrouted"), exchange("unrouted", "fanout")),
        (queue("eu"), queue("lost and found")),
        (binding("orders", "eu", "eu"), binding("unrouted", "lost and found", "")),
    )
    assert "--unroutable--> exchange unrouted" in draw(found).text


def test_an_empty_virtual_host_says_so() -> None:
    assert "nothing" in draw(Snapshot((), (), ())).text


def test_names_can_t_break_the_picture() -> None:
    nasty = '<script>"&'
    picture = draw(Snapshot((exchange(nasty),), (queue(nasty),), (binding(nasty, nasty, nasty),)), title=nasty)
    ElementTree.fromstring(picture.svg)
    assert "<script>" not in picture.svg


def test_it_brings_its_own_paper_and_needs_no_style_sheet() -> None:
    picture = draw(large())
    first = next(iter(ElementTree.fromstring(picture.svg)))
    assert (first.tag, first.attrib["fill"]) == (f"{SVG}rect", "#FFFFFF")
    assert not re.search(r"<style|<script|\bid=|href", picture.svg)
    assert set(picture._repr_mimebundle_()) == {"image/svg+xml", "text/plain"}


def test_a_live_virtual_host_is_drawn_as_it_is_at_this_moment(vhost: VirtualHost) -> None:
    # Given a topology with a message that was published just now
    with pika.BlockingConnection(pika.URLParameters(vhost.amqp_url)) as connection:
        channel = connection.channel()
        channel.exchange_declare("news", "topic", durable=True)
        channel.queue_declare("inbox", durable=True, arguments={"x-queue-type": "quorum"})
        channel.queue_declare("mine", exclusive=True)
        channel.queue_bind("inbox", "news", "sport.#")
        channel.confirm_delivery()
        channel.basic_publish("news", "sport.chess", b"mate", mandatory=True)
        # When it is drawn, at once
        drawn = topology(vhost)
    # Then the message is counted, and another's exclusive queue is not forgotten: it is there, uncounted.
    assert "queue inbox (quorum, no consumer): 1 ready" in drawn.text
    assert "--sport.#--> queue inbox" in drawn.text
    assert "queue mine (classic, exclusive)\n" in f"{drawn.text}\n"
    assert "amq." not in drawn.text


def test_only_what_is_behind_an_exchange_is_drawn_if_that_is_asked_for() -> None:
    own = large()
    shared = [queue("mail", dead_letter_exchange="dlx", dead_letter_routing_key="mail"), queue("graves")]
    whole = Snapshot(
        (*own.exchanges, exchange("dlx", "fanout"), exchange("posts", "fanout")),
        (*own.queues, *shared),
        (*own.bindings, binding("posts", "mail", ""), binding("dlx", "graves", "")),
    )
    # Dead letters and delays come with their work queue, whichever way they go;
    assert {found.name for found in behind(whole, ["posts"]).queues} == {"mail", "graves"}
    assert {found.name for found in behind(whole, ["posts"]).exchanges} == {"posts", "dlx"}
    names = {found.name for found in behind(whole, ["events0"]).queues}
    assert names == {found.name for name in ("system0.work", "system3.work") for found in work(name)}
    # of all exchanges, everything does.
    assert draw(behind(own, ["events0", "events1", "events2"])).text == draw(own).text
