"""Starting a private node as a user would, and looking at it from outside, without our own code."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pika
import psutil

from labs.broker.node import Node
from labs.processes import wait_until

#: What a user's shell may hold; none of it may reach the node.
HOSTILE = {
    "RABBITMQ_NODENAME": "rabbit@elsewhere",
    "RABBITMQ_CONFIG_FILE": "/nonexistent/rabbitmq.conf",
    "RABBITMQ_ENABLED_PLUGINS_FILE": "/nonexistent/plugins",
    "RABBITMQ_MNESIA_BASE": "/nonexistent/mnesia",
    "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-nonsense {",
    "ERL_FLAGS": "+nonsense",
    "ERL_EPMD_PORT": "1",
    "LAB_HOME": "/nonexistent/lab",
    "LC_ALL": "POSIX",
}


def start_in_process(home: Path) -> subprocess.Popen[str]:
    """Start the node of a folder from a Python process of its own, with a hostile environment."""
    code = f"from pathlib import Path; from labs.broker.node import Node; Node(Path({str(home)!r})).start(print)"
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **HOSTILE},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def processes_of(home: Path) -> list[psutil.Process]:
    """Every process that works in this folder or has it in its environment, found without our own code."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() == psutil.STATUS_ZOMBIE or process.pid == os.getpid():
                continue
            # The node of a folder with accents knows it by a link without.
            log_folder = Path(process.environ().get("RABBITMQ_LOG_BASE", "/")).resolve()
            if log_folder.is_relative_to(home) or process.cwd() == str(home):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def leaves_nothing(home: Path) -> bool:
    """Whether a node that was stopped is gone with all that it had started: Erlang's helpers notice a moment later."""
    return wait_until(lambda: processes_of(home) == [], timeout_s=10)


@dataclass(frozen=True)
class Crashed:
    """A node that two processes started at once, then was killed, and started again among ruins."""

    node: Node
    outputs: tuple[str, ...]
    statuses: tuple[int, ...]
    first_pid: int
    first_amqp_url: str
    stranger_pid: int
    progress: tuple[str, ...]


def publish_durably(url: str) -> None:
    """Put a persistent message into a new quorum queue, and wait for its confirm."""
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    channel.confirm_delivery()
    channel.queue_declare("durable", durable=True, arguments={"x-queue-type": "quorum"})
    properties = pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent)
    channel.basic_publish("", "durable", b"still here", properties, mandatory=True)
    connection.close()
