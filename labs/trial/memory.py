"""Looks at the memory of the processes on trial while they work."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from labs.processes import in_background
from labs.trial import operations as op
from labs.trial.site import Site

_EVERY_S = 2.0


@contextmanager
def memory_watched(site: Site) -> Iterator[None]:
    """Write down what each process of a site takes, now and then, for the length of a block."""

    def look(stop: threading.Event) -> None:
        while not stop.wait(_EVERY_S):
            for child in list(site.stack.children):
                try:
                    taken = psutil.Process(child.pid).memory_info().rss
                except psutil.Error:
                    continue  # it has just been killed
                site.history.add(child.name, "info", op.MEMORY, count=round(taken / 2**20))

    with in_background(look, name="memory"):
        yield
