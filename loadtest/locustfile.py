"""The load tests of RabbitMQ Lab: `locust -f loadtest/locustfile.py [Scenario ...]`, with or without its web page.

`--list` names the scenarios, `--help` says what can be asked of them. Without a name those run that need a broker
alone, and no engine; with `--class-picker` one picks them on the page.
"""

from loadtest import hooks
from loadtest.users.cover_letter import CoverLetter
from loadtest.users.cover_letter_sync import CoverLetterSync
from loadtest.users.fanout import FanOut
from loadtest.users.firehose import Firehose
from loadtest.users.idempotent import Idempotent
from loadtest.users.retry import Retry
from loadtest.users.rpc import Rpc
from loadtest.users.work_queue import WorkQueue

__all__ = ["CoverLetter", "CoverLetterSync", "FanOut", "Firehose", "Idempotent", "Retry", "Rpc", "WorkQueue"]

hooks.install(unnamed=(WorkQueue, FanOut, Rpc, Retry))
