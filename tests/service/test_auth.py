"""Who may come in, and that everybody else is told no more than that."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time

import httpx
import jwt
import pytest

from tests.service.conftest import LETTER, PREFIX, SECRET, Service, assert_problem, claims, token

NOW_S = int(time.time())
ARABIC_SEVEN = "\u0667"
NO_ALGORITHM = b'{"alg":"none"}'
GOOD = '{"sub":"7","aud":"careerops","exp":9999999999}'


def signed(header: bytes, payload: bytes) -> str:
    """A token of any bytes, with a signature that is right."""
    text = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in (header, payload))
    signature = base64.urlsafe_b64encode(hmac.new(SECRET.encode(), text, hashlib.sha256).digest())
    return (text + b"." + signature.rstrip(b"=")).decode()


def raw(payload: str) -> str:
    return signed(b'{"alg":"HS256"}', payload.encode())


REFUSED = {
    "no bearer": None,
    "another scheme": "Basic dXNlcjpwYXNz",
    "no token": "Bearer",
    "malformed": "Bearer not-a-token",
    "three dots": "Bearer a.b.c",
    "not ASCII": b"Bearer \xe9\xff",
    "two tokens": f"Bearer {token()} {token()}",
    "expired": f"Bearer {token(exp=NOW_S - 1)}",
    "another audience": f"Bearer {token(aud='elsewhere')}",
    "another secret": f"Bearer {token('another-secret-of-at-least-32-characters')}",
    "alg=none": f"Bearer {jwt.encode(claims(), None, algorithm='none')}",
    "alg=none, signed": f"Bearer {signed(NO_ALGORITHM, GOOD.encode())}",
    "another algorithm": f"Bearer {token(algorithm='HS384')}",
    "no exp": f"Bearer {token(exp=None)}",
    "no aud": f"Bearer {token(aud=None)}",
    "no sub": f"Bearer {token(sub=None)}",
    "not yet": f"Bearer {token(nbf=NOW_S + 900)}",
    "sub is a name": f"Bearer {token(sub='ada')}",
    "sub is a fraction": f"Bearer {token(sub='1.5')}",
    "sub is negative": f"Bearer {token(sub='-1')}",
    "sub is zero": f"Bearer {token(sub='0')}",
    "sub is a number": f"Bearer {token(sub=7)}",
    "sub is too large": f"Bearer {token(sub=str(2**31))}",
    "sub is endless": f"Bearer {token(sub='9' * 5000)}",
    "sub in other digits": f"Bearer {token(sub=ARABIC_SEVEN)}",
    "exp is text": f"Bearer {token(exp='soon')}",
    "exp is endless": f"Bearer {raw(GOOD.replace('9999999999', '9' * 5000))}",
    "exp is infinite": f"Bearer {raw(GOOD.replace('9999999999', 'Infinity'))}",
    "claims are a list": f"Bearer {raw('[1]')}",
    "claims are nested endlessly": f"Bearer {raw('[' * 15000)}",
    "header is a list": f"Bearer {signed(b'[]', b'{}')}",
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_request_without_a_good_token_is_401(service: Service, case: str) -> None:
    authorization = REFUSED[case]
    headers = {} if authorization is None else {"Authorization": authorization}
    with httpx.Client(base_url=service.stack.api_url, trust_env=False, timeout=60) as client:
        responses = [
            client.post(PREFIX, json=LETTER, headers=headers),  # type: ignore[arg-type]
            client.get(f"{PREFIX}/jobs", headers=headers),  # type: ignore[arg-type]
        ]
    for response in responses:
        problem = assert_problem(response, 401)
        assert response.headers["www-authenticate"].startswith("Bearer")
        assert "errors" not in problem
        # Nothing of the token comes back.
        assert str(authorization)[7:] not in response.text or authorization in {None, "Bearer"}


@pytest.mark.parametrize("path", ["/status/x", "/status/x/events", "/jobs"])
def test_every_route_of_the_system_wants_a_token(service: Service, path: str) -> None:
    assert_problem(httpx.get(service.stack.api_url + PREFIX + path, timeout=60), 401)


def test_the_scheme_is_read_in_any_case_and_other_audiences_may_be_named_too(service: Service) -> None:
    for authorization in (f"bearer {token()}", f"Bearer {token(aud=['careerops', 'elsewhere'])}"):
        response = httpx.get(
            f"{service.stack.api_url}{PREFIX}/jobs", headers={"Authorization": authorization}, timeout=60
        )
        assert response.status_code == 200


@pytest.mark.parametrize("email", ["a\x00b@example.com", "\ud800@example.com", 5, "x" * 1000], ids=repr)
def test_an_odd_address_in_a_good_token_does_no_harm(service: Service, email: object) -> None:
    bearer = {"Authorization": f"Bearer {token(email=email)}"}
    assert httpx.post(service.stack.api_url + PREFIX, json=LETTER, headers=bearer, timeout=60).status_code == 202
