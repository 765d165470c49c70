"""The resume system: a PDF made by workers that call the API back, with a model's help or without."""

from __future__ import annotations

from labs.systems.contract import Sent
from labs.systems.resumes import topology as names
from labs.systems.resumes.jobs import TABLE
from labs.systems.resumes.messages import COMPLETED, FAILED, GENERATE
from labs.systems.system import System, later

RESUMES = System(
    name="resumes",
    topology=names.topology,
    queues=(names.GENERATE_QUEUE, names.WEBHOOK_QUEUE),
    table=TABLE,
    consumers=later("labs.systems.resumes.worker:consumers"),
    routes=later("labs.systems.resumes.routes:routes"),
    sends=(
        Sent(schema=GENERATE, exchange=names.EXCHANGE, key=names.GENERATE_KEY),
        Sent(schema=COMPLETED, exchange=names.EXCHANGE, key=names.COMPLETED_KEY),
        Sent(schema=FAILED, exchange=names.EXCHANGE, key=names.FAILED_KEY),
    ),
    sweep=later("labs.systems.enhancement:forget_enhancements"),
)
