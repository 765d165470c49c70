"""Requests that make work are counted per user; looking is free."""

from __future__ import annotations

import time

import httpx

from tests.service.conftest import LETTER, PREFIX, RATE, Service, assert_problem


def test_a_user_beyond_the_limit_is_told_when_to_come_back(service: Service, client: httpx.Client) -> None:
    # Given a user who has asked as often as allowed, refused bodies and the old way included,
    answers = [client.post(PREFIX, json=LETTER).status_code for _ in range(RATE - 1)]
    answers.append(client.post(f"{PREFIX}/sync", json={}).status_code)
    assert answers == [202] * (RATE - 1) + [422]
    # when they ask again, on either route,
    for path in ("", "/sync"):
        response = client.post(PREFIX + path, json=LETTER)
        # then they are told to wait, and for how long,
        assert_problem(response, 429)
        assert 1 <= int(response.headers["retry-after"]) <= 60
    # while looking still works,
    assert client.get(f"{PREFIX}/jobs").status_code == 200
    # and so does asking, for others.
    with service.client() as other:
        assert other.post(PREFIX, json=LETTER).status_code == 202


def test_looking_is_not_limited(client: httpx.Client) -> None:
    started = time.monotonic()
    statuses = {client.get(f"{PREFIX}/jobs").status_code for _ in range(3 * RATE)}
    assert time.monotonic() - started < 60, "too slow to tell"
    assert statuses == {200}
