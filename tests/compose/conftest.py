"""Containers are started where LAB_TEST_COMPOSE=1 says so (`make test-compose`); then a missing engine is a failure."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compose.project import Project

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    skip = pytest.mark.skip(reason="starts containers: run `make test-compose`")
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.compose)
            if os.environ.get("LAB_TEST_COMPOSE") != "1":
                item.add_marker(skip)


@pytest.fixture(scope="module")
def project() -> Iterator[Project]:
    """An empty project; it is removed whatever happened in it."""
    project = Project()
    try:
        yield project
    finally:
        project.down()
    assert project.left() == []
