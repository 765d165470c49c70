"""Containers are started by `make test-compose` alone (long: `-m "compose and long"`); no engine is a failure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compose.project import Project

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.compose)


@pytest.fixture(scope="module")
def project() -> Iterator[Project]:
    """An empty project; it is removed whatever happened in it."""
    project = Project()
    try:
        yield project
    finally:
        project.down()
    assert project.left() == []
