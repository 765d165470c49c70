"""Chapter 01: a worker that loses nothing and takes no more than it can do."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pika
from pika.adapters.blocking_connection import BlockingChannel

from labs.broker import VirtualHost
from labs.patterns.work_queue import declare, publish
from labs.processes import wait_until

_QUEUE = "exercise"
_TASKS = [b"first", b"second", b"third"]

Work = Callable[[bytes], object]
Subscribe = Callable[[BlockingChannel, str, Work], object]


class _Crash(Exception):
    """The worker dies in the middle of its work."""


def check_worker(vhost: VirtualHost, subscribe: Subscribe) -> str:
    """A subscription that acknowledges after the work, once, and holds one task at a time."""
    return _after_a_crash(vhost, subscribe) or _left_for_others(vhost, subscribe) or _all_done(vhost, subscribe)


def _after_a_crash(vhost: VirtualHost, subscribe: Subscribe) -> str:
    def crash(_: bytes) -> None:
        raise _Crash

    try:
        _run(vhost, subscribe, crash)
    except _Crash:
        if wait_until(lambda: vhost.depth(_QUEUE).messages == len(_TASKS), timeout_s=2):
            return ""
        return "Not yet: the worker died in its first task, and what it held is gone. Who told the broker to forget it?"
    return "Not yet: no task was ever done."


def _left_for_others(vhost: VirtualHost, subscribe: Subscribe) -> str:
    ready = []

    def look(_: bytes) -> None:
        # What else comes to this worker comes within a moment.
        wait_until(lambda: vhost.depth(_QUEUE).messages < len(_TASKS) - 1, timeout_s=0.3)
        ready.append(vhost.depth(_QUEUE).messages)
        raise _Crash

    with contextlib.suppress(_Crash):
        _run(vhost, subscribe, look)
    if ready == [len(_TASKS) - 1]:
        return ""
    return f"Not yet: while it does its first task, it holds {len(_TASKS) - ready[0]}: nobody else can do those."


def _all_done(vhost: VirtualHost, subscribe: Subscribe) -> str:
    done: list[bytes] = []
    if not _run(vhost, subscribe, done.append):
        return "Not yet: the broker closed the channel. Was a delivery tag acknowledged twice, or one that never came?"
    if done != _TASKS:
        return f"Not yet: it has done {len(done)} of {len(_TASKS)} tasks and waits. What does the broker wait for?"
    return "Solved: nothing is lost in a crash, nothing is hoarded, and every task is done once."


def _run(vhost: VirtualHost, subscribe: Subscribe, do: Work) -> bool:
    """Let the learner's worker find three tasks, and end it when it gets no more; False: the broker threw it out."""
    vhost.management.delete_queue(vhost.name, _QUEUE)
    publish(vhost.amqp_url, _QUEUE, _TASKS)
    done = 0

    def counted(task: bytes) -> None:
        nonlocal done
        do(task)
        done += 1

    with pika.BlockingConnection(pika.URLParameters(vhost.amqp_url)) as connection:
        channel = connection.channel()
        declare(channel, _QUEUE)
        subscribe(channel, _QUEUE, counted)
        before = -1
        while done > before:
            before = done
            # Returns as soon as something has come; for the first one even a busy machine has the time that it needs.
            connection.process_data_events(time_limit=1 if done else 10)
        return bool(channel.is_open)
