"""One process of a run; started by `loadtest.engine.run`, which hands it its task as the first line of its input."""

from __future__ import annotations

import gc
import json
import pkgutil
import sys

from loadtest.engine.child import hear
from loadtest.engine.plan import Task

#: By client, and by what the process does; one that isn't asked for is not loaded.
WORK = {
    "engine": {"produce": "publisher:main", "consume": "consumer:main"},
    "pika": {"produce": "stock_pika:produce", "consume": "stock_pika:receive"},
    "aio-pika": {"produce": "stock_aio_pika:produce", "consume": "stock_aio_pika:receive"},
}

if __name__ == "__main__":
    task = Task.from_dict(json.loads(hear()))
    work = pkgutil.resolve_name(f"loadtest.engine.{WORK[task.plan.client][sys.argv[1]]}")
    gc.freeze()  # what was loaded stays: nobody need look through it again and again in the middle of a run
    work(task)
