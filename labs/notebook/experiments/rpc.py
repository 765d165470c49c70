"""Chapter 05: servers that are slow, answer twice or die, callers that believe anything, and what was seen of them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.spec import Basic, BasicProperties

from labs.notebook.experiments.waits import until
from labs.patterns.rpc import Caller, serve
from labs.programs import Program, Report, hang, report

if TYPE_CHECKING:  # a server process needs none of what a notebook needs, and starts sooner without
    from labs.display import Mark, Stretch
    from labs.notebook.session import Notebook

PRICES = {"apple": 3, "pear": 5}
_TIMEOUT_S = 30.0
_FOR_EVER_S = 1e6


class TrustingCaller(Caller):
    """Like the caller above, but it takes whatever comes for its answer."""

    def _on_answer(self, _: BlockingChannel, __: Basic.Deliver, ___: BasicProperties, body: bytes) -> None:
        # I am waiting and something has come: that must be it. (Two may have come by the time we look.)
        self._answer = body if self._answer is None else self._answer


def question(of: str, *, takes_ms: float = 0) -> bytes:
    """What does it cost? The server is to think so long about it."""
    return json.dumps({"of": of, "takes_ms": takes_ms}).encode()


def price(asked: bytes) -> bytes:
    """The answer, after some thought; reports when it began and when it was done."""
    wanted = json.loads(asked)
    report("began", of=wanted["of"])
    time.sleep(wanted["takes_ms"] / 1000)
    report("answered", of=wanted["of"])
    return json.dumps({"price": PRICES[wanted["of"]]}).encode()


def price_server(*, url: str, queue: str) -> None:
    """The pattern's server, as a program."""
    serve(url, queue, price)


def charge_server(*, url: str, queue: str, dies: bool) -> None:
    """Takes money, then answers; or is stuck before it can, so that it can be killed there."""

    def charge(_: bytes) -> bytes:
        report("charged")
        if dies:
            hang("stuck")
        return b'{"paid": true}'

    serve(url, queue, charge)


OnQuestion = Callable[[BlockingChannel, Basic.Deliver, BasicProperties, bytes], None]


def _own_server(url: str, queue: str, on_question: OnQuestion) -> None:
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.queue_declare(queue, durable=True)
        channel.basic_qos(prefetch_count=1)
        channel.basic_consume(queue, on_question)
        channel.start_consuming()


def curious_server(*, url: str, queue: str) -> None:
    """Reports what a question carries, and answers."""

    def on_question(channel: BlockingChannel, method: Basic.Deliver, properties: BasicProperties, _: bytes) -> None:
        names = ("reply_to", "correlation_id", "expiration")
        report("question", **{name: getattr(properties, name) for name in names})
        reply = BasicProperties(correlation_id=properties.correlation_id)
        channel.basic_publish("", properties.reply_to or "", b"{}", reply)
        channel.basic_ack(method.delivery_tag)

    _own_server(url, queue, on_question)


def forgetful_server(*, url: str, queue: str) -> None:
    """Answers, and is stuck before it can acknowledge."""

    def on_question(channel: BlockingChannel, _: Basic.Deliver, properties: BasicProperties, body: bytes) -> None:
        reply = BasicProperties(correlation_id=properties.correlation_id)
        channel.basic_publish("", properties.reply_to or "", price(body), reply)
        hang("answered, not acknowledged")

    _own_server(url, queue, on_question)


def typed_server(*, url: str, queue: str) -> None:
    """The lab's own server, whose handler knows two fruits and has a bug."""
    # Only this server needs the messaging library; the others start sooner without.
    from labs.errors import RpcError  # noqa: PLC0415
    from labs.messaging.rpc import RpcServer  # noqa: PLC0415

    async def handle(request: dict[str, Any]) -> Mapping[str, Any]:
        if request["of"] == "secret":
            raise ValueError("the password is hunter2")
        if request["of"] not in PRICES:
            raise RpcError("unknown-fruit", f"we sell {' and '.join(PRICES)}")
        return {"price": PRICES[request["of"]]}

    asyncio.run(RpcServer(url, queue, handle, name="typed server").run())


def ask_for_ever(*, url: str, queue: str) -> None:
    """A caller with no timeout worth the name."""
    report("asked")
    Caller(url).call(queue, question("apple"), timeout_s=_FOR_EVER_S)
    report("answered")


def start(lab: Notebook, server: Callable[..., object], queue: str, **arguments: object) -> Program:
    """Start one more server of a queue; it is ready when this returns.

    Raises:
        TimeoutError: it did not come up.
    """
    return start_crew(lab, server, queue, count=1, **arguments)[0]


def start_crew(
    lab: Notebook, server: Callable[..., object], queue: str, *, count: int, **arguments: object
) -> list[Program]:
    """The same for several at once."""
    before = consumers(lab, queue)
    programs = [lab.program(server, queue=queue, **arguments) for _ in range(count)]
    until(lambda: consumers(lab, queue) == before + count, what="servers")
    return programs


def end(lab: Notebook, queue: str, *servers: Program) -> None:
    """Kill servers, and wait until the broker knows that the queue has none."""
    for server in servers:
        server.kill()
    until(lambda: consumers(lab, queue) == 0, what="the end of the servers")


def consumers(lab: Notebook, queue: str) -> int:
    """Servers that a queue has; none if it doesn't exist."""
    if queue not in {found.name for found in lab.vhost.queues()}:
        return 0
    return lab.vhost.depth(queue).consumers


@dataclass(frozen=True)
class Asked:
    """One call, as its caller saw it; times in seconds of `time.monotonic`."""

    of: str
    began_s: float
    ended_s: float
    answer: str

    @property
    def took_ms(self) -> float:
        return (self.ended_s - self.began_s) * 1000

    def __str__(self) -> str:
        return f"{self.of}: {self.answer}"


def ask(caller: Caller, queue: str, of: str, *, takes_ms: float = 0, timeout_s: float = _TIMEOUT_S) -> Asked:
    """Ask for a price, and note what comes of it."""
    began_s = time.monotonic()
    try:
        answer = f"{json.loads(caller.call(queue, question(of, takes_ms=takes_ms), timeout_s=timeout_s))['price']} euro"
    except (TimeoutError, pika.exceptions.UnroutableError) as error:
        answer = type(error).__name__
    return Asked(of, began_s, time.monotonic(), answer)


def lanes(name: str, asked: Sequence[Asked], served: Sequence[Report]) -> dict[str, Any]:
    """A lane of a caller, from its first call on, and one of its server, for `labs.display.tracks`."""
    from labs.display import Mark, Stretch  # noqa: PLC0415 (slow to import, and servers don't need it)

    start_s = asked[0].began_s
    calls: list[Mark | Stretch] = []
    for call in asked:
        calls.append(Stretch(call.began_s - start_s, call.ended_s - start_s, "waits", f"{call.of}?"))
        gave_up = call.answer == "TimeoutError"
        kind, note = ("gives up", "") if gave_up else ("takes an answer", call.answer)
        calls.append(Mark(call.ended_s - start_s, kind, note))
    work: list[Mark | Stretch] = []
    began = [told for told in served if told.event == "began"]
    answered = [told for told in served if told.event == "answered"]
    for first, last in zip(began, answered, strict=False):
        work.append(Stretch(first.at_s - start_s, last.at_s - start_s, "works", str(first["of"])))
        work.append(Mark(last.at_s - start_s, "answers", f"{PRICES[str(last['of'])]} euro"))
    return {name: calls, f"{name}: server": work}


def latencies_ms(url: str, queue: str, *, count: int) -> dict[str, list[float]]:
    """Milliseconds of publishing, and of calling in three ways; in turn, so that a busy moment meets all."""
    direct, own = Caller(url), Caller(url, own_queue=True)
    direct.channel.queue_declare("plain", durable=True)
    asked = question("apple")

    def fresh() -> None:
        caller = Caller(url, own_queue=True)
        caller.call(queue, asked, timeout_s=_TIMEOUT_S)
        caller.connection.close()

    ways: dict[str, Callable[[], object]] = {
        "publish to a plain queue": lambda: direct.channel.basic_publish("", "plain", asked),
        "call, direct reply-to": lambda: direct.call(queue, asked, timeout_s=_TIMEOUT_S),
        "call, a reply queue that is kept": lambda: own.call(queue, asked, timeout_s=_TIMEOUT_S),
        "call, all made anew each time": fresh,
    }
    samples: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(count):
        for way, do in ways.items():
            began_s = time.perf_counter()
            do()
            samples[way].append((time.perf_counter() - began_s) * 1000)
    for caller in (direct, own):
        caller.connection.close()
    return samples
