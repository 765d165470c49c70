"""A real stub model process, shared by the tests of this folder and set back before each of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from labs.llm.client import ModelClient
from labs.llm.control import StubModel
from tests.llm.stub_support import INSTANT, address_of, start_stub


@pytest.fixture(scope="session")
def stub_process() -> Iterator[str]:
    """The address of a stub whose initial dials answer at once."""
    process = start_stub("--dials", INSTANT.model_dump_json())
    yield address_of(process)
    process.terminate()
    assert process.wait(timeout=60) == 0


@pytest.fixture
def stub(stub_process: str) -> Iterator[StubModel]:
    with StubModel(stub_process) as model:
        model.reset()
        yield model


@pytest.fixture
async def client(stub: StubModel) -> AsyncIterator[ModelClient]:
    async with ModelClient(base_url=f"{stub.base_url}/v1", timeout_s=60) as model_client:
        yield model_client
