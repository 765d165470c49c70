"""Runs a pattern as a reader does, `python -m labs.patterns.NAME`, and looks what it leaves behind."""

from __future__ import annotations

import os
import subprocess
import sys

import psycopg

from labs.broker import VirtualHost
from labs.settings import ROOT

_TIMEOUT_S = 120.0


def output_of(name: str, vhost: VirtualHost, *, database_url: str) -> str:
    """What a pattern that needs a database prints; it has ended well and left no queue and no database."""
    environment = {
        **os.environ,
        "LAB_AMQP_URL": vhost.amqp_url,
        "LAB_MANAGEMENT_URL": vhost.broker.management_url,
        "LAB_DATABASE_URL": database_url,
    }
    with subprocess.Popen(
        [sys.executable, "-m", f"labs.patterns.{name}"],
        env=environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        printed, complaints = process.communicate(timeout=_TIMEOUT_S)
    assert process.returncode == 0, complaints
    assert vhost.queues() == []
    with psycopg.connect(database_url) as db:
        # `_` would stand for any letter.
        left = db.execute("SELECT FROM pg_database WHERE starts_with(datname, %s)", [f"pattern_{process.pid}_"])
        assert left.rowcount == 0
        assert db.execute("SELECT FROM pg_tables WHERE schemaname = 'public'").rowcount == 0
    return printed
