"""An API that can't or mustn't run says why in one line, and ends."""

from __future__ import annotations

import socket
import stat
import subprocess
import sys
from pathlib import Path

import httpx
import jwt

from labs.service.tokens import make_token
from labs.settings import load_settings
from labs.stack.child import Child
from tests.service.conftest import PREFIX, SECRET, Service


def run_api(service: Service, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run an API that is expected to end by itself."""
    environment = service.stack.environment() | {"LAB_API_PORT": "0"} | variables
    command = [sys.executable, "-m", "labs", "api", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)


def assert_refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith("error: ")
    for word in words:
        assert word in done.stderr


def test_a_taken_port_is_one_clear_line(service: Service) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert_refused(run_api(service, "--port", port), port, "LAB_API_PORT")


def test_the_development_secret_is_refused_beyond_loopback(service: Service) -> None:
    done = run_api(service, "--host", "0.0.0.0", LAB_JWT_SECRET="")
    assert_refused(done, "0.0.0.0", "LAB_JWT_SECRET")


def test_a_short_secret_is_refused_without_showing_it(service: Service) -> None:
    done = run_api(service, LAB_JWT_SECRET="too-short")
    assert_refused(done, "LAB_JWT_SECRET", "32")
    assert "too-short" not in done.stderr


def test_a_rate_limit_that_is_none_is_refused(service: Service) -> None:
    assert_refused(run_api(service, LAB_RATE_LIMIT="often"), "LAB_RATE_LIMIT")


def test_a_broker_address_that_is_none_is_refused(service: Service) -> None:
    assert_refused(run_api(service, LAB_AMQP_URL="http://127.0.0.1"), "AMQP URL")


def test_without_a_database_it_says_how_to_get_one(service: Service, tmp_path: Path) -> None:
    done = run_api(service, LAB_DATABASE_URL="", LAB_HOME=str(tmp_path))
    assert_refused(done, "python -m labs up", "LAB_DATABASE_URL")


def test_a_secret_file_is_made_once_for_its_owner_alone_and_signs(service: Service, tmp_path: Path) -> None:
    # Given a secret file that doesn't exist, beyond loopback,
    file = tmp_path / "secrets" / "jwt"
    variables = {"LAB_JWT_SECRET": "", "LAB_JWT_SECRET_FILE": str(file), "LAB_API_HOST": "0.0.0.0", "LAB_API_PORT": "0"}
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
                assert httpx.get(url, headers={"Authorization": f"Bearer {token}"}).status_code == status
        finally:
            child.terminate()
    # and the file was made once, for its owner alone.
    assert len(secrets) == 1
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def _token_of(secret: str) -> str:
    return jwt.encode({"sub": "1", "aud": "careerops", "exp": 9999999999}, secret, algorithm="HS256")
