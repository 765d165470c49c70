"""The cover-letter system: a letter written by a model behind a queue, and two events that tell of it."""

from __future__ import annotations

from labs.systems.contract import Sent
from labs.systems.cover_letters import topology as names
from labs.systems.cover_letters.jobs import TABLE
from labs.systems.cover_letters.messages import COMPLETED, FAILED, GENERATE
from labs.systems.system import System, later

COVER_LETTERS = System(
    name="cover_letters",
    topology=names.topology,
    queues=(names.GENERATE_QUEUE, *names.EVENT_QUEUES),
    table=TABLE,
    consumers=later("labs.systems.cover_letters.worker:consumers"),
    routes=later("labs.systems.cover_letters.routes:routes"),
    sends=(
        Sent(schema=GENERATE, exchange=names.EXCHANGE, key=names.GENERATE_KEY),
        Sent(schema=COMPLETED, exchange=names.EXCHANGE, key=names.COMPLETED_KEY),
        Sent(schema=FAILED, exchange=names.EXCHANGE, key=names.FAILED_KEY),
    ),
)
