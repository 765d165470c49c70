"""All systems at once, on one broker and one database, while their parts fail."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from labs.broker import Node
from labs.llm.dials import ErrorRates
from labs.store.server import PostgresServer
from tests.faults.duplicator import duplicating
from tests.faults.faulty import COVER_LETTERS, FAULTY, PEERS
from tests.faults.system import running_system

pytestmark = pytest.mark.faults

#: Of each system: 500 requests in all, and some 1,200 messages.
REQUESTS = 125


def test_500_mixed_requests_have_their_effects_exactly_once(
    node: Node, postgres: PostgresServer, tmp_path: Path
) -> None:
    with running_system(node, postgres, COVER_LETTERS, folder=tmp_path, workers=2) as letters:
        stack = letters.stack
        for service in (PEERS.worker, *PEERS.beside):
            stack.start_service(service)
        systems = [replace(letters, kind=kind, asked=[]) for kind in FAULTY]
        stack.stub.set_dials(errors=ErrorRates(server_error=0.05, reset=0.05), seed=5)
        with ExitStack() as load:
            for system in systems:
                load.enter_context(duplicating(letters.amqp_url, system.kind))
                load.enter_context(system.load(REQUESTS))
            # When each part fails once in the middle of it
            letters.wait_done(10)
            stack.of("worker")[0].kill()
            stack.of(PEERS.worker)[0].kill()
            stack.of("relay")[0].kill()
            letters.kill_broker()
            node.start()
            postgres.stop()
            postgres.start()
            stack.of(PEERS.beside[0])[0].kill()
            stack.of("api")[0].kill()
            stack.start_api()
            stack.start_relay()
            for kind in FAULTY[-2:]:
                replace(letters, kind=kind).start_worker()
            stack.start_service(PEERS.beside[0])
        stack.stub.set_dials(errors=ErrorRates())
        for system in systems:
            system.wait_ended()
        # Then what was given up can be sent back, and all of it is done once
        for system in systems:
            if system.kind.table and system.count("failed"):
                system.redrive_until_done()
            system.assert_each_done_exactly_once(REQUESTS)
