"""What the tests of this folder share: starting a stub model, waiting for a condition, and an application to send."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

from labs import processes
from labs.llm.dials import Constant, Dials

INSTANT = Dials(latency=Constant(ms=0))

JOB = """\
Senior Backend Engineer at Nordwind Logistics

Nordwind Logistics is looking for a Senior Backend Engineer to join our platform team in Hamburg.

Requirements:
- 5+ years of experience with Python and PostgreSQL
- Solid understanding of message queues, ideally RabbitMQ
- Docker and Kubernetes in production
"""

CV = """\
Maria Oliveira
Backend developer, Lisbon. maria@example.com | +351 912 345 678

Experience
2019-2024  Backend Engineer, Portwise
- Built an order pipeline on RabbitMQ and PostgreSQL that handles 3 million messages a day
- Reduced invoice processing time by 40 % by moving work into message queues
- Mentored four junior developers

Skills: Python, PostgreSQL, RabbitMQ, Docker
7 years of experience.
"""


def start_stub(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "labs.llm.stub", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def address_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    address: str = json.loads(process.stdout.readline())["url"]
    return address


def wait_until(holds: Callable[[], bool], *, within_s: float = 60.0) -> None:
    assert processes.wait_until(holds, timeout_s=within_s, every_s=0.005), "the condition did not come to hold in time"
