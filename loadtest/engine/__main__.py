"""One process of a run; started by `loadtest.engine.run`, which hands it its task as the first line of its input."""

from __future__ import annotations

import json
import sys

from loadtest.engine import consumer, publisher
from loadtest.engine.plan import Task

if __name__ == "__main__":
    work = {"produce": publisher.main, "consume": consumer.main}[sys.argv[1]]
    work(Task.from_dict(json.loads(sys.stdin.readline())))
