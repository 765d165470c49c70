"""What is wrong is refused with a problem document that names the field, and nothing secret is ever told or logged."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from labs.llm.dials import ErrorRates
from tests.service.conftest import (
    CV_MARKER,
    JOB_MARKER,
    LETTER,
    PREFIX,
    SECRET,
    Service,
    ask,
    assert_problem,
    token,
    until_ended,
)

LIMIT_BYTES = 256 * 1024


def body(**changes: object) -> bytes:
    return json.dumps({**LETTER, **changes}).encode()


INVALID = {
    "missing": (b"{}", "cvText"),
    "empty": (b"", "body"),
    "not JSON": (b"{nope", "body"),
    "not UTF-8": (b'{"jobDescription": "\xff", "cvText": "x"}', "body"),
    "array": (b"[1, 2]", "body"),
    "string": (b'"x"', "body"),
    "null": (b"null", "body"),
    "null field": (body(cvText=None), "cvText"),
    "blank field": (body(jobDescription=" \n "), "jobDescription"),
    "number for text": (body(cvText=5), "cvText"),
    "null byte": (body(cvText="a\x00b"), "cvText"),
    "lone surrogate": (b'{"jobDescription": "x", "cvText": "\\ud800"}', "cvText"),
    "lone surrogate as a name": (b'{"jobDescription": "x", "cvText": "y", "\\ud800": 1}', "body"),
    "unknown tone": (body(tone="rude"), "tone"),
    "unknown field": (body(priority="high"), "priority"),
    "unknown field with an endless name": (body(**{"n" * 5000: 1}), "n" * 100),
    "too long": (body(cvText="y" * 50_001), "cvText"),
    "endless nesting": (b'{"cvText":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "body"),
    "endless nesting, never closed": (b"[" * 120_000, "body"),
    "huge number": (b'{"cvText": ' + b"9" * 100_000 + b"}", "body"),
    "infinite number": (b'{"jobDescription": "x", "cvText": 1e999}', "cvText"),
    "not a number": (b'{"jobDescription": "x", "cvText": NaN}', "cvText"),
    "field twice": (b'{"jobDescription": "x", "cvText": "y", "cvText": 5}', "cvText"),
}


@pytest.mark.parametrize("case", INVALID)
@pytest.mark.parametrize("path", ["", "/sync"])
def test_a_bad_body_is_422_and_names_the_field(client: httpx.Client, case: str, path: str) -> None:
    content, field = INVALID[case]
    response = client.post(PREFIX + path, content=content, headers={"Content-Type": "application/json"})
    assert_problem(response, 422, field=field)


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "application/xml", ""])
def test_another_content_type_is_415_and_says_which_is_wanted(client: httpx.Client, media_type: str) -> None:
    response = client.post(PREFIX, content=body(), headers={"Content-Type": media_type})
    assert "application/json" in assert_problem(response, 415)["detail"]


def test_a_body_that_declares_to_be_too_large_is_413(client: httpx.Client) -> None:
    response = client.post(PREFIX, json={**LETTER, "cvText": "y" * LIMIT_BYTES})
    assert_problem(response, 413, field="body")


def test_a_chunked_body_is_413_as_soon_as_it_is_too_large(client: httpx.Client) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(2 * LIMIT_BYTES // 8192):
            yield b" " * 8192

    assert_problem(
        client.post(PREFIX, content=endless(), headers={"Content-Type": "application/json"}), 413, field="body"
    )


def test_a_declared_length_is_believed_before_a_byte_is_sent(service: Service) -> None:
    # Given a client that declares gigabytes and sends none of them, it is not waited for.
    assert b" 413 " in _raw(service, f"Content-Length: {10**12}\r\n\r\n").partition(b"\r\n")[0]


def test_bytes_beyond_the_declared_length_are_no_part_of_the_request(service: Service) -> None:
    answer = _raw(service, f"Content-Length: 2\r\nConnection: close\r\n\r\n{{}}{'x' * 500_000}")
    assert b" 422 " in answer.partition(b"\r\n")[0]


def _raw(service: Service, rest: str) -> bytes:
    """What the API answers to a POST written by hand."""
    address = urlsplit(service.stack.api_url)
    head = f"POST {PREFIX} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer {token()}\r\n"
    with socket.create_connection((str(address.hostname), int(address.port or 0)), timeout=60) as connection:
        with contextlib.suppress(ConnectionError):  # it may have answered, and hung up, before it was sent all
            connection.sendall((head + rest).encode())
        return connection.recv(65536)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=many", "limit"),
        (f"limit={'9' * 5000}", "limit"),
        ("cursor=nonsense", "cursor"),
        ("cursor=%C3%A9", "cursor"),
        ("cursor=W10%3D", "cursor"),  # []
        ("cursor=WyIyMDI2LTExLTIyVDAwOjAwOjAwWiIsImFcdTAwMDBiIl0%3D", "cursor"),  # a null byte in the id
        (f"cursor={'W1tb' * 40}", "cursor"),  # endless nesting
        (f"cursor={'a' * 201}", "cursor"),
    ],
)
def test_a_bad_query_is_422_and_names_the_parameter(client: httpx.Client, query: str, field: str) -> None:
    assert_problem(client.get(f"{PREFIX}/jobs?{query}"), 422, field=field)


@pytest.mark.parametrize("job_id", ["a%00b", "%ff", "%ed%a0%80", "x" * 256, "%20"])
@pytest.mark.parametrize("end", ["", "/events"])
def test_an_impossible_job_id_is_422(client: httpx.Client, job_id: str, end: str) -> None:
    assert_problem(client.get(f"{PREFIX}/status/{job_id}{end}"), 422, field="jobId")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", PREFIX, "POST"),
        ("DELETE", PREFIX, "POST"),
        ("OPTIONS", PREFIX, "POST"),
        ("TRACE", PREFIX, "POST"),
        ("PUT", f"{PREFIX}/jobs", "GET"),
        ("PATCH", f"{PREFIX}/status/x", "GET"),
        ("POST", "/healthz", "GET"),
        ("DELETE", "/metrics", "GET"),
    ],
)
def test_another_method_is_405_and_says_which_is_allowed(
    client: httpx.Client, method: str, path: str, allow: str
) -> None:
    response = client.request(method, path)
    assert_problem(response, 405)
    assert response.headers["allow"] == allow


@pytest.mark.parametrize("path", ["/", "/nope", "/redoc", f"{PREFIX}/jobs/", f"{PREFIX}/status/a%2Fb", "//", "/.env"])
def test_an_unknown_path_is_404(client: httpx.Client, path: str) -> None:
    assert_problem(client.get(path), 404)


def test_nothing_secret_is_told_or_logged_on_any_error_path(service: Service, client: httpx.Client) -> None:
    # Given requests that go wrong in every way, each with the markers in it,
    bearer = client.headers["Authorization"]
    json_type = {"Content-Type": "application/json"}
    told = [client.post(PREFIX, content=content, headers=json_type) for content in (body(tone=CV_MARKER), body()[:-5])]
    told += [
        client.post(PREFIX, json={**LETTER, "cvText": CV_MARKER * 20_000}),
        client.post(PREFIX, json={**LETTER, "cvText": CV_MARKER + "\x00"}),
        client.post(PREFIX, content=body(), headers={"Content-Type": "text/plain"}),
        client.post(PREFIX, json=LETTER, headers={"Authorization": bearer + "x"}),
        client.get(f"{PREFIX}/jobs", params={"cursor": CV_MARKER}),
    ]
    # and a model that answers with errors, garbage and nothing at all,
    with service.stack.stub as stub:
        try:
            for fault in ("server_error", "garbage", "empty", "reset", "rate_limit"):
                stub.set_dials(errors=ErrorRates(**{fault: 1.0}), retry_after_s=0)
                told.append(client.post(f"{PREFIX}/sync", json=LETTER))
                failed = until_ended(client, ask(client))
                assert failed["status"] == "failed"
                assert CV_MARKER not in failed["errorMessage"]
        finally:
            stub.reset()
    # and a database whose table isn't as we know it,
    service.execute("ALTER TABLE cover_letter_jobs RENAME COLUMN cv_text TO renamed")
    try:
        unexpected = client.post(PREFIX, json=LETTER)
    finally:
        service.execute("ALTER TABLE cover_letter_jobs RENAME COLUMN renamed TO cv_text")
    # then the caller learns nothing of our inside, on a connection that stays good,
    assert_problem(unexpected, 500)
    assert ask(client)
    told.append(unexpected)
    logs = service.logs()
    for text in (*(response.text for response in told), logs):
        assert CV_MARKER not in text
        assert JOB_MARKER not in text
        assert SECRET not in text
        assert bearer.removeprefix("Bearer ") not in text
        assert "Traceback" not in text
    for response in told:
        assert response.status_code >= 400
        assert response.headers["content-type"] == "application/problem+json"
        assert ".py" not in response.text
    # while the log has what a developer needs.
    assert '"event": "unexpected error"' in logs
    assert '"error": "UndefinedColumn"' in logs
