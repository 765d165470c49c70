"""One database for all tests of this folder, emptied before each: making one costs more than most of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from labs.store.database import Database
from labs.store.jobs import Jobs
from labs.systems.resumes.jobs import TABLE as RESUMES
from tests.databases import jobs_of, opened


@pytest.fixture(scope="session")
def store_database_url(make_database: Callable[[], str]) -> str:
    return make_database()


@pytest.fixture
def database_url(store_database_url: str) -> str:
    return store_database_url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with opened(database_url) as database:
        yield database


@pytest.fixture
def jobs(database: Database) -> Jobs:
    return jobs_of(database)


@pytest.fixture
def resumes(database: Database) -> Jobs:
    """A table of jobs with metadata."""
    return Jobs(database, RESUMES)
