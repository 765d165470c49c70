"""Where Locust calls us: its events, each answered by one call."""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import logging
from collections.abc import Sequence

import gevent
from locust import User, events, runners
from locust.env import Environment

from loadtest import arguments, broker_tab
from loadtest.load import Load

#: Seconds between two reports of a worker: Locust's own three would show the last but one moment.
_REPORT_S = 1.0


def install(*, unnamed: Sequence[type[User]]) -> None:
    """Listen to Locust; call it once, from the locustfile.

    Args:
        unnamed: the scenarios that run if none is named.
    """
    # What pika would warn of is in our own lines, and httpx tells of every request.
    for name, level in {"pika": logging.CRITICAL, "httpx": logging.WARNING}.items():
        logging.getLogger(name).setLevel(level)
    runners.WORKER_REPORT_INTERVAL = _REPORT_S
    events.init_command_line_parser.add_listener(arguments.add)
    events.init.add_listener(lambda environment, **_: _on_init(environment, unnamed))


def _on_init(environment: Environment, unnamed: Sequence[type[User]]) -> None:
    load = Load(environment)
    if not load.is_worker:
        load.choose(unnamed)
    if not (load.is_worker or load.is_master):
        load.look()
    hear = environment.events
    hear.test_start.add_listener(lambda **_: load.begin())
    hear.test_stopping.add_listener(lambda **_: load.wind_down())
    hear.test_stop.add_listener(lambda **_: load.end())
    if load.is_worker:
        hear.report_to_master.add_listener(lambda data, **_: data.update(load=load.board.told()))
        hear.quitting.add_listener(lambda **_: load.wind_down())
        load.runner.register_message("load_wind_down", lambda **_: load.wind_down(), concurrent=True)
    if load.is_master:
        hear.worker_report.add_listener(lambda client_id, data: load.board.hear(client_id, data.get("load", [])))
        load.runner.register_message("load_failed", lambda msg, **_: load.fail(msg.data["reason"]))
    if environment.web_ui is not None:
        broker_tab.add(environment.web_ui, load.board, base_path=load.options.web_base_path)
    gevent.spawn(load.watch)
