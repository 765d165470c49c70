import asyncio
import contextlib
import email.utils
import socket
import time
from collections.abc import AsyncIterator, Callable

import pytest

from labs.errors import ConfigurationError, ModelError, ModelFailed, ModelRefused, ModelUnavailable
from labs.llm.client import Completion, ModelClient
from labs.llm.control import StubModel
from labs.llm.dials import Constant, ErrorRates, Fault
from labs.llm.http_server import Connection, Reply, Request
from labs.llm.prompt import cover_letter_prompt
from labs.settings import load_settings
from tests.llm.stub_support import CV, JOB, wait_until

PROMPT = cover_letter_prompt(JOB, CV, "concise")
SECRETS = ("sk-very-secret", "Nordwind", "Oliveira", "the body of the error")


@contextlib.asynccontextmanager
async def model_that(answers: Callable[[Reply], None]) -> AsyncIterator[ModelClient]:
    """A client of a real HTTP server that answers every request alike."""

    async def handle(request: Request, reply: Reply) -> None:
        answers(reply)

    loop = asyncio.get_running_loop()
    connections: set[Connection] = set()
    server = await loop.create_server(lambda: Connection(handle, connections=connections), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with ModelClient(base_url=f"http://127.0.0.1:{port}/v1", api_key=SECRETS[0], timeout_s=60) as client:
        yield client
    server.close()


async def complete(client: ModelClient) -> None:
    await client.complete(PROMPT, request_id="a")


async def stream(client: ModelClient) -> None:
    async for _ in client.stream(PROMPT, request_id="a"):
        pass


async def test_a_completion_has_text_model_tokens_and_duration(stub: StubModel, client: ModelClient) -> None:
    stub.set_dials(latency=Constant(ms=100))
    answer = await client.complete(PROMPT, request_id="job-7")
    assert "Maria Oliveira" in answer.text
    assert answer.model == load_settings().model
    assert answer.prompt_tokens > answer.completion_tokens > 50
    assert 0.1 <= answer.duration_s < 30
    assert [call.request_id for call in stub.ledger().calls] == ["job-7"]


@pytest.mark.parametrize("fault", sorted(set(Fault) - {Fault.TIMEOUT, Fault.SLOW_DRIP}))
@pytest.mark.parametrize("call", [complete, stream])
async def test_a_fault_of_the_model_fails_this_call_after_one_try(
    stub: StubModel, client: ModelClient, fault: Fault, call: Callable[[ModelClient], object]
) -> None:
    stub.set_dials(errors=ErrorRates.model_validate({fault: 1}), retry_after_s=2.5)
    for _ in range(3):  # garbage has three forms
        with pytest.raises(ModelFailed) as failure:
            await call(client)  # type: ignore[misc]
        assert failure.value.retry_after_s == (2.5 if fault is Fault.RATE_LIMIT else None)
    assert stub.summary().outcomes == {fault: 3}


@pytest.mark.parametrize("fault", [Fault.TIMEOUT, Fault.SLOW_DRIP])
@pytest.mark.parametrize("call", [complete, stream])
async def test_the_deadline_bounds_the_whole_call(
    stub: StubModel, fault: Fault, call: Callable[[ModelClient], object]
) -> None:
    # Given a model that never answers, or sends a byte each 50 ms: no single read takes long
    stub.set_dials(errors=ErrorRates.model_validate({fault: 1}), drip_interval_ms=50)
    async with ModelClient(base_url=f"{stub.base_url}/v1", timeout_s=10) as client:
        started = time.monotonic()
        with pytest.raises(ModelFailed, match=r"within 10 s.*LAB_MODEL_TIMEOUT_S"):
            await call(client)  # type: ignore[misc]
        assert 10 <= time.monotonic() - started < 30
    await asyncio.to_thread(wait_until, lambda: (stub.summary().total, stub.summary().open) == (1, 0))
    assert stub.summary().outcomes == {fault: 1}


@pytest.mark.parametrize("fault", [Fault.TIMEOUT, Fault.SLOW_DRIP])
@pytest.mark.parametrize("call", [complete, stream])
async def test_a_model_that_hangs_up_half_way_fails_the_call(
    stub: StubModel, client: ModelClient, fault: Fault, call: Callable[[ModelClient], object]
) -> None:
    stub.set_dials(errors=ErrorRates.model_validate({fault: 1}), hold_s=0.1)
    with pytest.raises(ModelFailed, match="broke off"):
        await call(client)  # type: ignore[misc]


async def test_a_stream_without_an_end_was_cut_off() -> None:
    event = b'data: {"choices":[{"index":0,"delta":{"content":"Dear"},"finish_reason":null}]}\n\n'
    async with model_that(lambda reply: reply.send(200, event, content_type="text/event-stream")) as client:
        with pytest.raises(ModelFailed, match="cut its answer off"):
            await stream(client)


async def test_a_caller_may_leave_a_stream_early(stub: StubModel, client: ModelClient) -> None:
    stub.set_dials(token_interval_ms=1_000)
    pieces = client.stream(PROMPT, request_id="a")
    async with contextlib.aclosing(pieces):  # type: ignore[type-var]
        assert await anext(pieces) == "Dear "
    await asyncio.to_thread(wait_until, lambda: stub.summary().open == 0)
    assert stub.summary().outcomes == {"client_gone": 1}


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504])
async def test_a_passing_status_fails_this_call(status: int) -> None:
    async with model_that(lambda reply: reply.send(status, b"the body of the error")) as client:
        with pytest.raises(ModelFailed, match=str(status)):
            await complete(client)


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (308, "OPENAI_BASE_URL"),
        (400, "too long"),
        (401, "OPENAI_API_KEY"),
        (403, "LAB_MODEL"),
        (404, "OPENAI_BASE_URL"),
        (422, "same answer"),
    ],
)
async def test_a_lasting_status_refuses_the_request_and_says_what_to_check(status: int, advice: str) -> None:
    async with model_that(lambda reply: reply.send(status, b'{"error":{"message":"the body of the error"}}')) as client:
        for call in (complete, stream):
            with pytest.raises(ModelRefused, match=f"{status}.*{advice}"):
                await call(client)


@pytest.mark.parametrize(
    ("value", "expected_s"),
    [("3", 3), ("0.25", 0.25), ("-4", 0), ("soon", None), ("nan", None), ("inf", None), (None, None)],
)
@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_in_seconds(status: int, value: str | None, expected_s: float | None) -> None:
    headers = {} if value is None else {"retry-after": value}
    async with model_that(lambda reply: reply.send(status, b"{}", headers)) as client:
        with pytest.raises(ModelFailed) as failure:
            await complete(client)
    assert failure.value.retry_after_s == expected_s


async def test_retry_after_as_a_date() -> None:
    for ahead_s, expected_s in ((600, 600.0), (-30, 0.0)):
        headers = {"retry-after": email.utils.formatdate(time.time() + ahead_s, usegmt=True)}
        async with model_that(lambda reply, headers=headers: reply.send(429, b"{}", headers)) as client:  # type: ignore[misc]
            with pytest.raises(ModelFailed) as failure:
                await complete(client)
        assert failure.value.retry_after_s == pytest.approx(expected_s, abs=60)


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-host.invalid"])
async def test_nothing_at_the_address_means_the_model_is_unavailable(host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    async with ModelClient(base_url=f"http://{host}:{port}/v1", timeout_s=60) as client:
        for call in (complete, stream):
            with pytest.raises(ModelUnavailable, match="labs stub"):
                await call(client)


async def test_a_model_that_comes_back_is_reached_by_the_same_client(stub: StubModel, client: ModelClient) -> None:
    stub.set_dials(errors=ErrorRates(reset=1))
    with pytest.raises(ModelFailed):
        await complete(client)
    stub.reset()
    await complete(client)


@pytest.mark.parametrize("status", [200, 400, 401, 429, 500])
async def test_no_error_tells_a_secret(status: int) -> None:
    body = b'{"error":{"message":"the body of the error: Nordwind Oliveira sk-very-secret"}}'
    async with model_that(lambda reply: reply.send(status, body)) as client:
        with pytest.raises(ModelError) as failure:
            await complete(client)
    shown = "".join(map(str, (failure.value, repr(failure.value))))
    assert not [secret for secret in SECRETS if secret in shown]
    assert failure.value.__cause__ is None
    assert failure.value.__suppress_context__


def test_the_settings_choose_the_model() -> None:
    assert ModelClient(load_settings(stub_port=1234)).base_url == "http://127.0.0.1:1234/v1"
    assert ModelClient(load_settings(openai_api_key="k")).base_url == "https://api.openai.com/v1"
    assert ModelClient(load_settings(openai_base_url="http://x/v1/")).base_url == "http://x/v1"
    assert ModelClient(load_settings(openai_base_url="http://x/v1"), base_url="http://y/v1").base_url == "http://y/v1"
    with pytest.raises(ConfigurationError, match="OPENAI_BASE_URL"):
        ModelClient(load_settings(openai_base_url="localhost:8000"))


async def test_300_calls_run_at_once(stub: StubModel) -> None:
    async with ModelClient(base_url=f"{stub.base_url}/v1", timeout_s=120) as client:

        def begun() -> list[asyncio.Task[Completion]]:
            return [asyncio.create_task(client.complete(PROMPT, request_id=f"job-{n}")) for n in range(300)]

        # Given answers that take longer than it takes to ask, however busy the machine is, none waits for another.
        stub.set_dials(latency=Constant(ms=120_000))
        waiting = begun()
        await asyncio.to_thread(wait_until, lambda: stub.summary().open == 300)
        for call in waiting:
            call.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        await asyncio.to_thread(wait_until, lambda: stub.summary().open == 0)
        # And each gets its answer.
        stub.reset()
        answers = await asyncio.gather(*begun())
    assert len({answer.text for answer in answers}) == 1
    summary = stub.summary()
    assert (summary.outcomes, summary.request_ids, summary.max_calls_per_request_id) == ({"ok": 300}, 300, 1)


async def test_calls_one_after_the_other_share_a_connection() -> None:
    connections: set[Connection] = set()
    accepted = 0

    async def handle(request: Request, reply: Reply) -> None:
        reply.send(200, b'{"choices":[{"message":{"content":"Dear"}}]}')

    def accept() -> Connection:
        nonlocal accepted
        accepted += 1
        return Connection(handle, connections=connections)

    server = await asyncio.get_running_loop().create_server(accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with ModelClient(base_url=f"http://127.0.0.1:{port}/v1", timeout_s=60) as client:
        for _ in range(5):
            assert (await client.complete(PROMPT, request_id="a")).text == "Dear"
        assert accepted == 1
        # And a connection that the server has closed meanwhile is not used again
        for connection in list(connections):
            connection.abort()
        while connections:
            await asyncio.sleep(0)
        await complete(client)
        assert accepted == 2
    server.close()
