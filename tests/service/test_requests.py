"""The promises of the cover-letter routes to a user who does everything right."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import httpx

from labs.llm.dials import ErrorRates
from labs.processes import wait_until
from tests.service.conftest import LETTER, PREFIX, Service, ask, assert_problem, token, until_ended


def test_a_request_is_accepted_at_once_and_says_where_its_status_is(client: httpx.Client) -> None:
    response = client.post(PREFIX, json={**LETTER, "tone": "friendly"})

    assert response.status_code == 202
    body = response.json()
    assert body == {"jobId": body["jobId"], "status": "pending"}
    uuid.UUID(body["jobId"])
    assert response.headers["location"] == f"{PREFIX}/status/{body['jobId']}"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["cache-control"] == "no-store"
    assert client.get(response.headers["location"]).json()["jobId"] == body["jobId"]


def test_a_completed_job_has_every_documented_field(client: httpx.Client) -> None:
    job = until_ended(client, ask(client))

    assert set(job) == {"jobId", "status", "coverLetter", "createdAt", "updatedAt", "completedAt", "attempts"}
    assert job["status"] == "completed"
    assert "ACME" in job["coverLetter"]
    created, updated, completed = (
        datetime.fromisoformat(job[f"{name}At"]) for name in ("created", "updated", "completed")
    )
    assert created.utcoffset() is not None
    assert created < completed == updated


def test_a_failed_job_says_why_and_has_no_letter(service: Service, client: httpx.Client) -> None:
    # Given a model that fails every call,
    with service.stack.stub as stub:
        stub.set_dials(errors=ErrorRates(server_error=1))
        try:
            # when a job has used up its attempts,
            job = until_ended(client, ask(client))
        finally:
            stub.reset()
    # then it has failed, and the reason doesn't quote the CV.
    assert job["status"] == "failed"
    assert job["attempts"] == 4
    assert "coverLetter" not in job
    assert job["errorMessage"]
    assert LETTER["cvText"] not in job["errorMessage"]


def test_the_documented_front_end_loop_gets_its_letter(service: Service) -> None:
    """Submit, poll, and stop at the letter or the error, with nothing but what the usage guide's example uses."""
    headers = {"Authorization": f"Bearer {token()}", "Content-Type": "application/json"}
    body = {"jobDescription": "ACME is hiring a Python Developer", "cvText": "Ada Lovelace", "tone": "professional"}
    url = service.stack.api_url
    job_id = httpx.post(f"{url}{PREFIX}", headers=headers, json=body, trust_env=False, timeout=60).json()["jobId"]

    def polled() -> str | None:
        job = httpx.get(f"{url}{PREFIX}/status/{job_id}", headers=headers, trust_env=False, timeout=60).json()
        if job["status"] == "failed":
            raise RuntimeError(job["errorMessage"])
        return str(job["coverLetter"]) if job["status"] == "completed" else None

    letters: list[str] = []
    assert wait_until(lambda: bool(letters.append(found) or True) if (found := polled()) else False, timeout_s=60)
    assert "ACME" in letters[0]


def test_jobs_are_listed_newest_first_without_letters(client: httpx.Client) -> None:
    asked = [ask(client) for _ in range(3)]
    until_ended(client, asked[-1])

    page = client.get(f"{PREFIX}/jobs").json()

    assert [job["jobId"] for job in page["jobs"]] == asked[::-1]
    assert "nextCursor" not in page
    assert set(page["jobs"][0]) == {"jobId", "status", "createdAt", "updatedAt", "completedAt"}


def test_pages_have_no_gaps_and_no_repeats_while_new_jobs_arrive(client: httpx.Client) -> None:
    asked = [ask(client) for _ in range(9)]

    seen: list[str] = []
    query: dict[str, str] = {"limit": "2"}
    while True:
        page = client.get(f"{PREFIX}/jobs", params=query).json()
        assert len(page["jobs"]) <= 2
        seen += [job["jobId"] for job in page["jobs"]]
        ask(client)  # a new job between any two pages
        if "nextCursor" not in page:
            break
        query["cursor"] = page["nextCursor"]

    assert seen == asked[::-1]


def test_nobody_sees_the_jobs_of_another(service: Service, client: httpx.Client) -> None:
    job_id = ask(client)
    unknown = str(uuid.uuid4())
    with service.client() as other:
        for path in ("", "/events"):
            foreign = other.get(f"{PREFIX}/status/{job_id}{path}")
            missing = other.get(f"{PREFIX}/status/{unknown}{path}")
            assert_problem(foreign, 404)
            # It can't be told from a job that never was.
            assert foreign.text.replace(job_id, unknown) == missing.text
            assert set(foreign.headers) == set(missing.headers)
        assert other.get(f"{PREFIX}/jobs").json() == {"jobs": []}


def test_events_tell_each_change_until_the_end(service: Service, client: httpx.Client) -> None:
    job_id = ask(client)
    with client.stream("GET", f"{PREFIX}/status/{job_id}/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        told = list(_events(stream.iter_lines()))

    statuses = [job["status"] for job in told]
    order = ["pending", "processing", "completed"]
    assert statuses == [status for status in order if status in statuses]
    assert statuses[-1] == "completed"
    assert told[-1] == client.get(f"{PREFIX}/status/{job_id}").json()


def test_events_begin_with_how_the_job_stands_for_who_connects_again(client: httpx.Client) -> None:
    # Given a stream that its client has dropped after the first event,
    job_id = ask(client)
    with client.stream("GET", f"{PREFIX}/status/{job_id}/events") as stream:
        next(_events(stream.iter_lines()))
    until_ended(client, job_id)
    # when it connects again, it gets what it missed.
    with client.stream("GET", f"{PREFIX}/status/{job_id}/events", headers={"Last-Event-ID": "1"}) as stream:
        assert [job["status"] for job in _events(stream.iter_lines())] == ["completed"]


def test_the_old_way_answers_with_the_letter_and_stores_nothing(client: httpx.Client) -> None:
    response = client.post(f"{PREFIX}/sync", json=LETTER)

    assert response.status_code == 200
    assert set(response.json()) == {"coverLetter"}
    assert "ACME" in response.json()["coverLetter"]
    assert client.get(f"{PREFIX}/jobs").json() == {"jobs": []}


def test_the_old_way_passes_a_failure_of_the_model_on(service: Service, client: httpx.Client) -> None:
    with service.stack.stub as stub:
        stub.set_dials(errors=ErrorRates(server_error=1))
        try:
            assert_problem(client.post(f"{PREFIX}/sync", json=LETTER), 502)
        finally:
            stub.reset()


def test_a_request_sent_again_with_its_key_finds_the_same_job(service: Service, client: httpx.Client) -> None:
    key = {"Idempotency-Key": "order-1"}
    first = client.post(PREFIX, json=LETTER, headers=key)
    until_ended(client, first.json()["jobId"])
    second = client.post(PREFIX, json=LETTER, headers=key)

    assert second.status_code == 202
    assert second.json() == {"jobId": first.json()["jobId"], "status": "completed"}
    assert second.headers["location"] == first.headers["location"]
    assert len(client.get(f"{PREFIX}/jobs").json()["jobs"]) == 1
    # Another user's key is another key.
    with service.client() as other:
        assert other.post(PREFIX, json=LETTER, headers=key).json()["jobId"] != first.json()["jobId"]


def test_twenty_equal_requests_at_once_make_one_job(client: httpx.Client) -> None:
    with ThreadPoolExecutor(20) as pool:
        responses = list(
            pool.map(lambda _: client.post(PREFIX, json=LETTER, headers={"Idempotency-Key": "at once"}), range(20))
        )

    assert {response.status_code for response in responses} == {202}
    assert len({response.json()["jobId"] for response in responses}) == 1
    assert len(client.get(f"{PREFIX}/jobs").json()["jobs"]) == 1


def test_a_key_belongs_to_one_request(client: httpx.Client) -> None:
    key = {"Idempotency-Key": "order-2"}
    client.post(PREFIX, json=LETTER, headers=key)

    problem = assert_problem(client.post(PREFIX, json={**LETTER, "tone": "concise"}, headers=key), 422)

    assert "Idempotency-Key" in problem["detail"]
    assert_problem(
        client.post(PREFIX, json=LETTER, headers={"Idempotency-Key": "k" * 201}), 422, field="idempotency-key"
    )


async def test_a_hundred_streams_at_once_all_end(service: Service) -> None:
    headers = {"Authorization": f"Bearer {token(sub='900')}"}
    async with httpx.AsyncClient(
        base_url=service.stack.api_url, headers=headers, timeout=60, limits=httpx.Limits(), trust_env=False
    ) as client:
        job_id = (await client.post(PREFIX, json=LETTER)).json()["jobId"]

        async def last_status() -> str:
            async with client.stream("GET", f"{PREFIX}/status/{job_id}/events") as stream:
                lines = [line async for line in stream.aiter_lines()]
            return str([job["status"] for job in _events(iter(lines))][-1])

        assert set(await asyncio.gather(*(last_status() for _ in range(100)))) == {"completed"}


def _events(lines: Iterator[str]) -> Iterator[dict[str, str]]:
    for line in lines:
        if line.startswith("event:"):
            assert line == "event: status"
        if line.startswith("data:"):
            yield json.loads(line.removeprefix("data:"))
