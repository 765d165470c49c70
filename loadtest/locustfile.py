"""The load tests of RabbitMQ Lab: `locust -f loadtest/locustfile.py [Scenario ...]`, with or without its web page.

Scenarios: WorkQueue, FanOut, Rpc, Retry, Idempotent, CoverLetter, CoverLetterSync, Firehose. See `--help` for what
can be asked of them.
"""

from loadtest import hooks
from loadtest.users.firehose import Firehose
from loadtest.users.work_queue import WorkQueue

__all__ = ["Firehose", "WorkQueue"]

hooks.install()
