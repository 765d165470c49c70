"""Settings: said once, documented, refused with a word on what is wrong, and safe by default."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from pydantic_core import PydanticUndefined

from labs.errors import ConfigurationError
from labs.settings import DEVELOPMENT_SECRET, ROOT, Settings, env_example, load_settings, variable_of

EXAMPLE = ROOT / ".env.example"


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """No variable and no `.env` of this machine."""
    for name in list(os.environ):
        if name.startswith(("LAB_", "OPENAI_", "RABBITMQ_")):
            monkeypatch.delenv(name)
    monkeypatch.setitem(Settings.model_config, "env_file", tmp_path / ".env")
    return monkeypatch


def test_the_committed_example_lists_exactly_the_settings() -> None:
    assert EXAMPLE.read_text() == env_example(), "renew it: python -m labs.settings > .env.example"


def test_the_example_with_every_line_in_force_is_the_default(bare: pytest.MonkeyPatch, tmp_path: Path) -> None:
    defaults = load_settings()
    settings = [line.removeprefix("#") for line in EXAMPLE.read_text().splitlines() if not line.startswith("# ")]
    assert len([line for line in settings if line]) == len(Settings.model_fields)
    (tmp_path / ".env").write_text("\n".join(settings))
    read = load_settings()
    assert read == defaults


def test_every_setting_has_a_description_and_a_default() -> None:
    for name, info in Settings.model_fields.items():
        assert info.description, name
        assert info.description.endswith("."), name
        assert info.default is not PydanticUndefined, name


def test_the_environment_wins_over_the_file_and_arguments_over_both(bare: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("LAB_PREFETCH=11\nLAB_GRACE_S=1.5\nLAB_API_PORT=1234\nUNKNOWN=1\n")
    bare.setenv("LAB_PREFETCH", "12")
    bare.setenv("LAB_API_PORT", "")
    settings = load_settings(lease_s=3)
    assert (settings.prefetch, settings.grace_s, settings.lease_s) == (12, 1.5, 3)
    # An empty variable, as Compose passes one that isn't set, is none.
    assert settings.api_port == 1234
    assert load_settings(prefetch=13).prefetch == 13


def test_names_of_others_are_kept(bare: pytest.MonkeyPatch) -> None:
    bare.setenv("OPENAI_API_KEY", "sk-hunter2")
    settings = load_settings()
    assert settings.openai_api_key is not None
    assert settings.openai_api_key.get_secret_value() == "sk-hunter2"
    assert variable_of("openai_api_key") == "OPENAI_API_KEY"
    assert variable_of("prefetch") == "LAB_PREFETCH"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("LAB_PREFETCH", "0"),
        ("LAB_PREFETCH", "many"),
        ("LAB_API_PORT", "70000"),
        ("LAB_JWT_SECRET", "short"),
        ("LAB_RETRY_DELAYS_MS", "1000,-1"),
        ("LAB_RETRY_DELAYS_MS", "1 s"),
        ("LAB_LOG_LEVEL", "LOUD"),
        ("LAB_LEASE_S", "0"),
    ],
)
def test_a_wrong_value_is_refused_by_the_name_of_its_variable(
    bare: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    bare.setenv(variable, value)
    with pytest.raises(ConfigurationError, match=variable):
        load_settings()


def test_a_refused_secret_is_not_quoted(bare: pytest.MonkeyPatch) -> None:
    bare.setenv("LAB_JWT_SECRET", "hunter2")
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    assert "hunter2" not in str(caught.value)


def test_delays_are_a_list_of_milliseconds(bare: pytest.MonkeyPatch) -> None:
    bare.setenv("LAB_RETRY_DELAYS_MS", "50, 100,200")
    assert load_settings().retry_delays_ms == (50, 100, 200)


def test_settings_do_not_change_and_do_not_show_their_secrets() -> None:
    settings = load_settings(jwt_secret="hunter2" * 8, openai_api_key="hunter2", smtp_url="smtp://me:hunter2@host")
    assert "hunter2" not in repr(settings)
    with pytest.raises(ValueError, match="frozen"):
        settings.prefetch = 1  # type: ignore[misc]


def test_the_development_secret_is_refused_beyond_loopback(tmp_path: Path) -> None:
    for host in ("127.0.0.1", "::1", "localhost"):
        load_settings(api_host=host, jwt_secret=DEVELOPMENT_SECRET).refuse_development_secret()
    open_to_all = {"api_host": "0.0.0.0", "jwt_secret": DEVELOPMENT_SECRET}
    with pytest.raises(ConfigurationError, match="LAB_JWT_SECRET"):
        load_settings(**open_to_all).refuse_development_secret()
    open_to_all["jwt_secret"] = "x" * 32
    with pytest.raises(ConfigurationError, match="LAB_WORKER_SECRET"):
        load_settings(**open_to_all).refuse_development_secret()
    load_settings(**open_to_all, worker_secret="y" * 32).refuse_development_secret()
    files = {"jwt_secret_file": tmp_path / "secret", "worker_secret_file": tmp_path / "worker-secret"}
    load_settings(api_host="0.0.0.0", **files).refuse_development_secret()


def test_a_missing_secret_file_is_made_once_for_us_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "secret"
    one, two = (load_settings(jwt_secret=DEVELOPMENT_SECRET, jwt_secret_file=path).signing_secret() for _ in range(2))
    assert one == two == path.read_text().strip()
    assert len(one) >= 32
    assert one != DEVELOPMENT_SECRET
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    # A secret that is set wins over the file.
    assert load_settings(jwt_secret="x" * 32, jwt_secret_file=path).signing_secret() == "x" * 32


def test_a_secret_file_that_is_no_good_is_refused_with_advice(tmp_path: Path) -> None:
    short = tmp_path / "short"
    short.write_text("hunter2")
    with pytest.raises(ConfigurationError, match="fewer than 32 characters: delete it") as caught:
        load_settings(jwt_secret=DEVELOPMENT_SECRET, jwt_secret_file=short).signing_secret()
    assert "hunter2" not in str(caught.value)
    with pytest.raises(ConfigurationError, match="can't be used"):
        load_settings(jwt_secret=DEVELOPMENT_SECRET, jwt_secret_file=short / "below").signing_secret()
