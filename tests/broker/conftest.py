"""Private nodes that a test may kill."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

import pytest

from labs.broker import Management
from labs.broker.node import Node
from tests.broker.node_support import Crashed, publish_durably, start_in_process


@pytest.fixture(scope="session")
def crashed(installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crashed]:
    home = tmp_path_factory.mktemp("with space") / "žluťoučký" / "broker"
    node = Node(home)
    try:
        # Given two processes that start the same node at the same moment,
        starters = [start_in_process(home), start_in_process(home)]
        outputs = tuple(starter.communicate(timeout=200)[0] for starter in starters)
        first_pid, first_url = node.pid, node.amqp_url
        assert first_pid is not None, outputs
        # and a confirmed message in a durable queue that was declared just now,
        publish_durably(first_url)
        node.settle()
        # when the node is killed, its pid passes to a stranger, and its cookie becomes readable for all,
        node.kill()
        with subprocess.Popen(["/bin/sleep", "300"]) as stranger:
            state = home / "node.json"
            state.write_text(json.dumps(json.loads(state.read_text()) | {"pid": stranger.pid}))
            (home / ".erlang.cookie").chmod(0o644)
            # then it starts again.
            said: list[str] = []
            node.start(said.append)
            statuses = tuple(starter.returncode for starter in starters)
            yield Crashed(node, outputs, statuses, first_pid, first_url, stranger.pid, tuple(said))
            stranger.kill()
    finally:
        node.stop()


@pytest.fixture
def management(crashed: Crashed) -> Iterator[Management]:
    with Management(crashed.node.management_url) as client:
        yield client
