"""Cover letters under Locust, on a real service: both ways, both ways to hear of them, and what goes wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from labs.broker import Broker, virtual_host
from labs.settings import Settings
from labs.stack.stack import Stack
from tests.loadtest.locust import Ended, run

#: One service is enough for all of them.
pytestmark = pytest.mark.xdist_group("letters")

_LETTER_MS = 500
_NO_BROKER = "amqp://guest:guest@127.0.0.1:1/"


@pytest.fixture(scope="module")
def api_url(
    broker: Broker, settings: Settings, make_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A service whose model takes half a second."""
    values = {"stub_dials": f'{{"latency": {{"kind": "constant", "ms": {_LETTER_MS}}}}}', "rate_limit": "60/minute"}
    with virtual_host("letters", settings=settings) as vhost:
        folder = tmp_path_factory.mktemp("service")
        with Stack(vhost.amqp_url, make_database(), folder=folder, settings=values) as stack:
            stack.start()
            yield stack.api_url


def letters(api_url: str, folder: Path, *arguments: str) -> Ended:
    """Locust without a broker of its own: these scenarios know HTTP alone."""
    asked = ["--users=2", "--spawn-rate=10", "--rate=10", "--duration=2", "--warm-up=0", f"--host={api_url}"]
    return run(_NO_BROKER, folder, *asked, *arguments)


@pytest.mark.parametrize("follow", ["stream", "poll"])
def test_a_letter_is_followed_until_it_is_there(api_url: str, tmp_path: Path, follow: str) -> None:
    ended = letters(api_url, tmp_path, f"--follow={follow}", "CoverLetter")
    assert (ended.exit_code, ended.failures) == (0, 0), ended.log
    counts = ended.counts("CoverLetter")
    assert 5 < counts["due"] == ended.requests("accept", "CoverLetter") == ended.requests("done", "CoverLetter")
    assert counts["due"] == counts["sent"] == counts["confirmed"] == counts["received"]
    # Accepted at once; done when the model was.
    assert ended.rows[("accept", "CoverLetter")]["min_response_time"] < _LETTER_MS
    assert ended.rows[("done", "CoverLetter")]["min_response_time"] >= _LETTER_MS


def test_the_old_way_waits_for_the_model(api_url: str, tmp_path: Path) -> None:
    ended = letters(api_url, tmp_path, "CoverLetterSync")
    assert (ended.exit_code, ended.failures) == (0, 0), ended.log
    assert 5 < ended.requests("done", "CoverLetterSync") == ended.counts("CoverLetterSync")["due"]
    assert ended.rows[("done", "CoverLetterSync")]["min_response_time"] >= _LETTER_MS
