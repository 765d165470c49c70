"""Documents while a part is away: what was answered is told of later, and nothing is told twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from labs.broker import VirtualHost
from labs.processes import wait_until
from tests.service.conftest import Service, assert_problem, has_tables, make_service
from tests.service.test_documents import DOCS, EXAMPLE, found, post, put, texts, unique


@pytest.fixture
def own(vhost: VirtualHost, database_url: str, tmp_path: Path) -> Iterator[Service]:
    """A service that this test may break."""
    made = make_service(vhost.amqp_url, database_url, tmp_path / "logs")
    with made.stack:
        yield made


def test_without_relay_worker_or_broker_documents_are_kept_and_told_of_later(own: Service) -> None:
    # Given an API and nothing else,
    own.stack.start_api()
    word = unique()
    with own.client() as client:
        has_tables(client, DOCS)
        document = post(client, title=f"First {word}")
        put(client, document, title=f"Second {word}")
        client.post(f"{DOCS}/{document['documentId']}/comments", json={"text": "Mine."})
        assert client.get(DOCS).json()["documents"][0]["version"] == 2
        assert found(client, word) == []
        assert texts(client) == []
        assert len(own.rows("SELECT 1 FROM outbox WHERE published_at IS NULL")) == 3
        # when the rest is started, everything happens, once.
        own.stack.start_relay()
        own.stack.start_worker(api_url=own.stack.api_url)
        assert wait_until(lambda: found(client, word) == [(document["documentId"], 2)], timeout_s=60)
        assert wait_until(lambda: len(texts(client)) == 2, timeout_s=60)
        assert texts(client)[0] == f"Your document 'Second {word}' has been updated"


def test_a_consumer_that_was_away_gets_what_it_missed(own: Service) -> None:
    # Given workers that were there once, and left their queues,
    own.stack.start()
    word = unique()
    with own.client() as client:
        assert own.stack.of("worker")[0].terminate() == 0
        document = post(client, title=word)
        sent = "SELECT 1 FROM outbox WHERE published_at IS NOT NULL AND correlation_id = %s"
        assert wait_until(lambda: len(own.rows(sent, document["documentId"])) == 1, timeout_s=60)
        assert found(client, word) == []
        # when one comes back, it finds the event in its queue.
        own.stack.start_worker()
        assert wait_until(lambda: found(client, word) == [(document["documentId"], 1)], timeout_s=60)


def test_a_queue_that_is_deleted_comes_back_with_what_was_in_it_and_the_others_are_not_told_twice(
    own: Service, vhost: VirtualHost
) -> None:
    own.stack.start(workers=0)
    own.stack.start_relay(reconcile_after_s=2)
    word = unique()
    with own.client() as client:
        document = post(client, title=word)
        sent = "SELECT 1 FROM outbox WHERE published_at IS NOT NULL AND correlation_id = %s"
        assert wait_until(lambda: len(own.rows(sent, document["documentId"])) == 1, timeout_s=60)
        vhost.management.delete_queue(vhost.name, "bookspace.search-index")
        own.stack.start_worker()
        # The reconciler sees that one effect is missing, and publishes the event again, to all.
        assert wait_until(lambda: found(client, word) == [(document["documentId"], 1)], timeout_s=60)
        assert wait_until(lambda: "Duplicate event" in own.logs(), timeout_s=60)
        assert texts(client) == [f"Your document '{word}' has been created"]


def test_without_a_database_it_is_503(own: Service) -> None:
    own.stack.start_api()
    with own.client() as client:
        has_tables(client, DOCS)
        post(client)
        own.execute("ALTER TABLE documents RENAME TO elsewhere")
        for response in (client.post(DOCS, json=EXAMPLE), client.get(DOCS)):
            assert_problem(response, 503)
