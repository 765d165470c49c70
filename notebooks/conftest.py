"""What a notebook leaves behind when nbval kills its kernel is removed before the next one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from labs.notebook import sweep


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    yield
    if nextitem is None or nextitem.path != item.path:
        sweep()  # nbval has killed the kernel just now
