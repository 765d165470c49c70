"""asyncapi: prints the document as it is committed; nothing need run."""

from __future__ import annotations

import json

from labs.settings import ROOT
from tests.commands.conftest import CommandLine


def test_it_prints_the_committed_document(nowhere: CommandLine) -> None:
    printed = nowhere.ok("asyncapi", LAB_RETRY_DELAYS_MS="", LAB_DELIVERY_LIMIT="")
    assert printed == (ROOT / "docs" / "asyncapi.json").read_text(encoding="utf-8")
    other = json.loads(nowhere.ok("asyncapi", LAB_RETRY_DELAYS_MS="5"))
    assert other["channels"]["queue_resumes_queue"]["x-retry-queues"] == ["resumes.queue.retry.5"]
