"""Who asks where users have names: a token says it, and X-User-Id alone only where nobody else can be harmed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from labs.settings import DEVELOPMENT_SECRET
from labs.stack.child import Child
from tests.service.conftest import RATE, Service, assert_problem, token
from tests.service.test_auth import REFUSED
from tests.service.test_documents import DOCS, EXAMPLE

ApiOf = Callable[..., Child]
PATHS = (DOCS, f"{DOCS}/x", f"{DOCS}/x/comments", f"{DOCS}/search?q=x", f"{DOCS}/analytics", "/v1/notifications")
#: A name is no error here.
STILL_REFUSED = sorted(set(REFUSED) - {case for case in REFUSED if case.startswith("sub is")})


def get(api: Child | str, path: str = DOCS, **headers: str) -> httpx.Response:
    url = api if isinstance(api, str) else str(api.url)
    return httpx.get(url + path, headers={name.replace("_", "-"): value for name, value in headers.items()}, timeout=60)


@pytest.mark.parametrize("case", STILL_REFUSED)
def test_without_a_good_token_it_is_401(service: Service, case: str) -> None:
    authorization: Any = REFUSED[case]
    headers = {} if authorization is None else {"Authorization": authorization}
    with httpx.Client(base_url=service.stack.api_url, trust_env=False, headers=headers, timeout=60) as client:
        for response in (client.get(DOCS), client.post(DOCS, json=EXAMPLE), client.post("/v1/users", json={})):
            assert_problem(response, 401)
            assert response.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("path", PATHS)
def test_every_route_wants_a_token(service: Service, path: str) -> None:
    assert_problem(get(service.stack.api_url, path), 401)
    assert "proves nothing here" in assert_problem(get(service.stack.api_url, path, x_user_id="user123"), 401)["detail"]


def test_a_token_may_name_anybody(service: Service) -> None:
    for name in ("user123", "ada@example.com", "7", "a.b_c-d"):
        bearer = f"Bearer {token(sub=name)}"
        made = httpx.post(service.stack.api_url + DOCS, json=EXAMPLE, headers={"Authorization": bearer}, timeout=60)
        assert made.json()["createdBy"] == name
        assert get(service.stack.api_url, Authorization=bearer, x_user_id=name).status_code == 200
    for name in ("", " ", "a b", "-a", "a\n", "x" * 101, "\u00e9"):
        assert_problem(get(service.stack.api_url, Authorization=f"Bearer {token(sub=name)}"), 401)
    assert_problem(get(service.stack.api_url, Authorization=f"Bearer {token(sub=7)}"), 401)


def test_a_header_that_says_otherwise_than_the_token_is_403(service: Service) -> None:
    response = get(service.stack.api_url, Authorization=f"Bearer {token(sub='user123')}", x_user_id="user456")
    assert "another user's" in assert_problem(response, 403)["detail"]


def test_in_development_on_loopback_the_header_is_enough(api_of: ApiOf) -> None:
    # As the design document asks for it.
    api = api_of(LAB_JWT_SECRET="")
    made = httpx.post(f"{api.url}{DOCS}", json=EXAMPLE, headers={"x-user-id": "user123"}, timeout=60)
    assert made.status_code == 201
    assert made.json()["createdBy"] == "user123"
    where, ours = f"{api.url}{made.headers['location']}", {"x-user-id": "user123"}
    assert httpx.put(where, json={"content": "Updated content..."}, headers=ours, timeout=60).json()["version"] == 2
    assert_problem(httpx.put(where, json={"content": "Mine."}, headers={"x-user-id": "user456"}, timeout=60), 403)
    # A token still wins, and a bad one is not made good by a header.
    assert_problem(get(api, Authorization="Bearer nonsense", x_user_id="user123"), 401)
    named = f"Bearer {token(DEVELOPMENT_SECRET, sub='user123')}"
    assert get(api, Authorization=named, x_user_id="user123").status_code == 200
    assert_problem(get(api, Authorization=named, x_user_id="user456"), 403)
    # A header that is no name, or none at all, is nobody.
    for nobody in ("", "a b", "x" * 101, 'user123"'):
        assert_problem(get(api, x_user_id=nobody), 401)
    assert_problem(get(api), 401)
    # Systems whose users have numbers ask for a token as ever.
    assert_problem(get(api, "/api/cover-letter/jobs", x_user_id="7"), 401)


@pytest.mark.parametrize(
    "variables",
    [
        {"LAB_JWT_SECRET": "", "LAB_TRUST_USER_ID": "false"},
        {"LAB_JWT_SECRET": "another-secret-of-more-than-32-characters"},
        {
            "LAB_API_HOST": "0.0.0.0",
            "LAB_JWT_SECRET": "another-secret-of-more-than-32-characters",
            "LAB_WORKER_SECRET": "another-worker-secret-of-more-than-32",
        },
    ],
    ids=["switched off", "a secret of its own", "beyond loopback"],
)
def test_anywhere_else_it_is_not(api_of: ApiOf, variables: dict[str, str]) -> None:
    api = api_of(**variables)
    url = f"http://127.0.0.1:{str(api.url).rpartition(':')[2]}"
    assert "proves nothing here" in assert_problem(get(url, x_user_id="user123"), 401)["detail"]


def test_the_limit_is_the_user_s_however_he_is_named(api_of: ApiOf) -> None:
    api = api_of(LAB_JWT_SECRET="")
    headers = [{"x-user-id": "7"}, {"Authorization": f"Bearer {token(DEVELOPMENT_SECRET, sub='7')}"}]
    made = [
        httpx.post(f"{api.url}{DOCS}", json={}, headers=headers[n % 2], timeout=60).status_code for n in range(RATE + 2)
    ]
    assert made == [422] * RATE + [429] * 2
