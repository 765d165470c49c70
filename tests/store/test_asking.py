"""A database is asked from outside on one connection, which is made anew when it was lost."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from labs.store.asking import Asking


@pytest.fixture
def asking(database_url: str) -> Iterator[Asking]:
    asking = Asking(database_url)
    yield asking
    asking.close()


def backend(asking: Asking) -> int:
    return int(asking.rows("SELECT pg_backend_pid() AS pid")[0]["pid"])


def test_one_connection_serves_all_questions(asking: Asking) -> None:
    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(lambda _: backend(asking), range(40)))) == 1
    assert asking.rows("SELECT %s::int + %s::int AS sum", 1, 2) == [{"sum": 3}]


def test_a_question_is_a_transaction_of_its_own(asking: Asking, database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as other:
        other.execute("CREATE TABLE seen (n int)")
        asking.rows("INSERT INTO seen VALUES (1) RETURNING n")
        assert other.execute("SELECT n FROM seen").fetchall() == [(1,)]


def test_a_lost_connection_is_made_anew(asking: Asking, database_url: str) -> None:
    first = backend(asking)
    with psycopg.connect(database_url, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 10000)", [first])
    assert backend(asking) != first


def test_what_the_database_refuses_is_an_error_and_costs_no_connection(asking: Asking) -> None:
    first = backend(asking)
    with pytest.raises(psycopg.errors.UndefinedTable):
        asking.rows("SELECT * FROM nowhere")
    assert backend(asking) == first


def test_a_database_that_is_away_is_an_error_until_it_is_back(database_url: str) -> None:
    asking = Asking(database_url.replace("dbname=", "dbname=no_"))
    with pytest.raises(psycopg.OperationalError):
        asking.rows("SELECT 1")
    asking.close()
