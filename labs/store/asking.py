"""Asks a database from outside, again and again, as whoever waits for something does: on one connection that is kept.

A connection for each question would cost a server process each, and on a small machine half a core.
"""

from __future__ import annotations

import threading
from typing import Any

import psycopg
from psycopg.rows import dict_row

_CONNECT_TIMEOUT_S = 5


def committed_at(transaction: str, *, written: str) -> str:
    """SQL for when a transaction was committed; of a server that doesn't keep that: the column that says when it wrote.

    Args:
        transaction: SQL for its id, of type `xid`; a row's own is `xmin`, until the row is changed.
        written: the column.
    """
    kept = "current_setting('track_commit_timestamp')::bool"
    return f"COALESCE(CASE WHEN {kept} THEN pg_xact_commit_timestamp({transaction}) END, {written})"


class Asking:
    """One database; close it. Any number of threads may ask, one waits for another.

    A connection that was lost since the last question is made anew, and then a question may be asked twice.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._db: psycopg.Connection[dict[str, Any]] | None = None

    def rows(self, query: str, *parameters: object) -> list[dict[str, Any]]:
        """What the database answers; each question is a transaction of its own.

        Raises:
            psycopg.OperationalError: the database can't be reached.
        """
        with self._lock:
            if self._db is not None:
                try:
                    return self._db.execute(query, parameters).fetchall()
                except psycopg.OperationalError:
                    if not self._db.closed:
                        raise
            self._db = psycopg.connect(
                self._url, autocommit=True, row_factory=dict_row, connect_timeout=_CONNECT_TIMEOUT_S
            )
            return self._db.execute(query, parameters).fetchall()

    def close(self) -> None:
        """Close the connection; harmless if called twice."""
        with self._lock:
            if self._db is not None:
                self._db.close()
                self._db = None
