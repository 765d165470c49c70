"""An API that can't or mustn't run says why in one line, and ends."""

from __future__ import annotations

import socket
import stat
from pathlib import Path

import httpx
import jwt
import pytest

from labs.service.tokens import make_token
from labs.settings import load_settings
from labs.stack.child import Child
from tests.commands.conftest import CommandLine, assert_failed
from tests.service.conftest import PREFIX, SECRET, Service


@pytest.fixture
def labs(service: Service) -> CommandLine:
    return CommandLine(service.stack.environment() | {"LAB_API_PORT": "0"})


def test_a_taken_port_is_one_clear_line(labs: CommandLine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert_failed(labs("api", "--port", port), 1, port, "LAB_API_PORT")


def test_the_development_secret_is_refused_beyond_loopback(labs: CommandLine) -> None:
    done = labs("api", "--host", "0.0.0.0", LAB_JWT_SECRET="")
    assert_failed(done, 1, "0.0.0.0", "LAB_JWT_SECRET")


def test_a_short_secret_is_refused_without_showing_it(labs: CommandLine) -> None:
    done = labs("api", LAB_JWT_SECRET="too-short")
    assert_failed(done, 1, "LAB_JWT_SECRET", "32")
    assert "too-short" not in done.stderr


def test_a_rate_limit_that_is_none_is_refused(labs: CommandLine) -> None:
    assert_failed(labs("api", LAB_RATE_LIMIT="often"), 1, "LAB_RATE_LIMIT")


def test_a_broker_address_that_is_none_is_refused(labs: CommandLine) -> None:
    assert_failed(labs("api", LAB_AMQP_URL="http://127.0.0.1"), 1, "AMQP URL")


def test_without_a_database_it_says_how_to_get_one(labs: CommandLine, tmp_path: Path) -> None:
    done = labs("api", LAB_DATABASE_URL="", LAB_HOME=str(tmp_path))
    assert_failed(done, 1, "python -m labs up", "LAB_DATABASE_URL")


def test_a_secret_file_is_made_once_for_its_owner_alone_and_signs(service: Service, tmp_path: Path) -> None:
    # Given a secret file that doesn't exist, beyond loopback,
    file = tmp_path / "secrets" / "jwt"
    variables = {
        "LAB_JWT_SECRET": "",
        "LAB_JWT_SECRET_FILE": str(file),
        "LAB_WORKER_SECRET": "w" * 32,
        "LAB_API_HOST": "0.0.0.0",
        "LAB_API_PORT": "0",
    }
    secrets: set[str] = set()
    for _ in range(2):
        # when APIs start one after the other,
        child = Child("api", ["api"], environment=service.stack.environment() | variables, folder=tmp_path)
        try:
            child.wait_ready()
            secrets.add(file.read_text())
            settings = load_settings(jwt_secret_file=file, jwt_secret="development-secret-for-loopback-only")
            url = f"http://127.0.0.1:{str(child.url).rpartition(':')[2]}{PREFIX}/jobs"
            # then its secret signs, and no other does,
            for token, status in ((make_token(settings, user_id=1), 200), (_token_of(SECRET), 401)):
                assert httpx.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=60).status_code == status
        finally:
            child.terminate()
    # and the file was made once, for its owner alone.
    assert len(secrets) == 1
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def _token_of(secret: str) -> str:
    return jwt.encode({"sub": "1", "aud": "careerops", "exp": 9999999999}, secret, algorithm="HS256")
