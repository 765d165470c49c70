"""Every knob of the lab, once: read from the environment, `.env` and these defaults, in that order."""

from __future__ import annotations

import contextlib
import functools
import os
import secrets
import tempfile
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from labs.errors import ConfigurationError

#: The folder that holds `labs/`; a checkout's own `.lab/` and `.env` live beside it.
ROOT = Path(__file__).resolve().parent.parent

#: Good enough on loopback, where nobody else can reach the service; refused anywhere else.
DEVELOPMENT_SECRET = "development-secret-for-loopback-only"  # noqa: S105
DEVELOPMENT_WORKER_SECRET = "development-worker-secret-for-loopback"  # noqa: S105

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class Settings(BaseSettings):
    """All settings. Each is `LAB_<NAME>` in the environment unless its alias says otherwise."""

    model_config = SettingsConfigDict(
        env_prefix="LAB_",
        env_file=ROOT / ".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        populate_by_name=True,
    )

    # Where things are
    home: Path = Field(ROOT / ".lab", description="Folder of the private broker, database, logs and pid files.")
    amqp_url: str | None = Field(None, description="A RabbitMQ to use instead of the private node.")
    rabbitmq_url: str | None = Field(
        None, validation_alias="RABBITMQ_URL", description="Where RabbitMQClient connects; default: LAB_AMQP_URL."
    )
    management_url: str | None = Field(
        None, description="That RabbitMQ's management API; default: the same host, port 15672."
    )
    database_url: str | None = Field(None, description="A PostgreSQL to use instead of the private server.")
    exercises: Path = Field(
        ROOT / "notebooks" / "exercises", description="Folder of your own solutions of the exercises."
    )

    # The model
    openai_api_key: SecretStr | None = Field(
        None, validation_alias="OPENAI_API_KEY", description="Set it to call OpenAI instead of the stub model."
    )
    openai_base_url: str | None = Field(
        None, validation_alias="OPENAI_BASE_URL", description="Any server that speaks Chat Completions."
    )
    model: str = Field("gpt-4.1-mini", description="Name of the model to ask for.")
    model_timeout_s: float = Field(60.0, gt=0, description="Seconds a model call may take before it is retried.")
    stub_host: str = Field("127.0.0.1", description="Address the stub model listens on.")
    stub_port: int = Field(8089, ge=0, le=65535, description="Port the stub model listens on.")
    stub_dials: str = Field(
        "", description="Dials the stub model starts with, as JSON; default: a human pace, no errors."
    )

    # The HTTP API
    api_host: str = Field("127.0.0.1", description="Address the API listens on.")
    api_port: int = Field(8000, ge=0, le=65535, description="Port the API listens on.")
    jwt_secret: SecretStr = Field(
        SecretStr(DEVELOPMENT_SECRET), min_length=32, description="Signs bearer tokens (HS256, 32 characters or more)."
    )
    jwt_secret_file: Path | None = Field(
        None, description="Without LAB_JWT_SECRET the secret is read from this file; made with a random one if missing."
    )
    api_url: str | None = Field(
        None,
        description="Where workers reach the API; default: the address it listens on, LAB_API_HOST and LAB_API_PORT.",
    )
    worker_secret: SecretStr = Field(
        SecretStr(DEVELOPMENT_WORKER_SECRET),
        min_length=32,
        description="Signs the tokens with which workers call the API back (HS256, 32 characters or more).",
    )
    worker_secret_file: Path | None = Field(
        None, description="Without LAB_WORKER_SECRET the secret is read from this file; made if missing."
    )
    jwt_audience: str = Field("careerops", description="Audience that a token must name.")
    token_lifetime_s: int = Field(3600, gt=0, description="Seconds until a token made by `labs token` expires.")
    trust_user_id: bool = Field(
        True,
        description="Take X-User-Id for who asks, where there is no token and users have names; "
        "only on loopback, and only with the development secret.",
    )
    max_body_bytes: int = Field(256 * 1024, gt=0, description="Bytes a request body may have.")
    rate_limit: str = Field("120/minute", description="Requests that make work, per user: `N/second|minute|hour`.")
    rate_limit_storage: str = Field(
        "memory://", description="Where those are counted; one process by default, a shared store for replicas."
    )
    sync_concurrency: int = Field(20, gt=0, description="Synchronous generations at once; more get 503.")

    # Messaging
    prefetch: int = Field(500, ge=1, le=2000, description="Unacknowledged messages a worker holds at once.")
    retry_delays_ms: Annotated[tuple[int, ...], NoDecode] = Field(
        (1000, 2000, 4000), description="Waits before the second, third, ... attempt; then the dead-letter queue."
    )
    max_message_bytes: int = Field(1024 * 1024, gt=0, description="Bytes a message body may have.")
    delivery_limit: int = Field(20, ge=1, description="Broker-side bound on redeliveries, the last resort.")
    publish_timeout_s: float = Field(10.0, gt=0, description="Seconds to wait for a connection and a confirm.")
    heartbeat_s: int = Field(30, ge=0, description="Seconds between AMQP heartbeats; 0 switches them off.")
    grace_s: float = Field(20.0, ge=0, description="Seconds a worker may finish what it runs after SIGTERM.")

    # Jobs
    lease_s: float = Field(10.0, gt=0, description="Seconds until a silent worker's job may be taken over.")
    max_crashes: int = Field(5, ge=1, description="Workers that may die on one job before it is given up.")
    reconcile_after_s: float = Field(
        60.0, gt=0, description="Seconds without progress after which work is enqueued again (doubling)."
    )
    relay_batch: int = Field(200, ge=1, description="Outbox rows published at once.")
    relay_lease_s: float = Field(15.0, gt=0, description="Seconds until a silent relay's rows may be taken over.")
    database_pool: int = Field(10, ge=2, description="Connections a process opens to the database.")

    # Resumes
    resumes_per_hour: int = Field(100, ge=1, description="Resumes a user may ask for within an hour.")
    enhance_timeout_s: float = Field(
        30.0, gt=0, description="Seconds, retries included, that the model has for a description; then without it."
    )
    enhancement_lifetime_s: float = Field(
        30 * 24 * 3600.0, gt=0, description="Seconds for which an improved description serves identical ones."
    )
    webhook_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Where webhooks may go: host names, and addresses or networks that may be private. None: nowhere.",
    )
    webhook_secret: SecretStr | None = Field(
        None,
        min_length=32,
        description="Signs webhooks (HMAC-SHA256, 32 characters or more); none are sent without it.",
    )
    webhook_timeout_s: float = Field(10.0, gt=0, description="Seconds a webhook's receiver may take.")

    # E-mail
    smtp_url: SecretStr | None = Field(
        None, description="smtp://user:password@host:587 (STARTTLS) or smtps://; without it a log line."
    )
    smtp_from: str = Field("RabbitMQ Lab <lab@localhost>", description="Sender of e-mails.")

    # Watching
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least level logged.")
    log_format: Literal["json", "text"] = Field("json", description="One JSON object a line, or text.")
    metrics_port: int = Field(0, ge=0, le=65535, description="Port of a worker's /metrics; 0 switches it off.")
    metrics_host: str = Field("127.0.0.1", description="Address of a worker's /metrics.")
    failpoints: str = Field("", description="For failure tests only: places where a process is to fail.")

    @field_validator("home", "exercises")
    @classmethod
    def _in_the_checkout(cls, value: Path) -> Path:
        return ROOT / value.expanduser()  # wherever a process works; an absolute path stays what it is

    @field_validator("retry_delays_ms", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(int(part) for part in value.replace(" ", "").split(",") if part)
        return value

    @field_validator("webhook_hosts", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.lower() for part in value.replace(" ", "").split(",") if part)
        return value

    @field_validator("retry_delays_ms")
    @classmethod
    def _positive(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not value or any(delay <= 0 for delay in value):
            raise ValueError("give at least one delay, each a positive number of milliseconds")
        return value

    def signing_secret(self) -> str:
        """The secret that signs users' tokens.

        Raises:
            ConfigurationError: the secret file can't be read or made, or holds fewer than 32 characters.
        """
        return _secret(self.jwt_secret, self.jwt_secret_file, variable="LAB_JWT_SECRET", default=DEVELOPMENT_SECRET)

    def worker_signing_secret(self) -> str:
        """The secret that signs workers' tokens. Raises as `signing_secret` does."""
        return _secret(
            self.worker_secret,
            self.worker_secret_file,
            variable="LAB_WORKER_SECRET",
            default=DEVELOPMENT_WORKER_SECRET,
        )

    def refuse_development_secret(self) -> None:
        """Refuse to serve others with a secret that everybody knows.

        Raises:
            ConfigurationError: the API would listen beyond loopback with a development secret.
        """
        if self.api_host in LOOPBACK:
            return
        known = {
            "LAB_JWT_SECRET": self.signing_secret() == DEVELOPMENT_SECRET,
            "LAB_WORKER_SECRET": self.worker_signing_secret() == DEVELOPMENT_WORKER_SECRET,
        }
        for variable in (variable for variable, is_known in known.items() if is_known):
            raise ConfigurationError(
                f"the API would listen on {self.api_host} with the development secret: "
                f"set {variable} (32 characters or more) or {variable}_FILE"
            )

    def trusts_user_id(self) -> bool:
        """Whether a header may say who asks: where everybody who gets here could sign a token as well."""
        return self.trust_user_id and self.api_host in LOOPBACK and self.signing_secret() == DEVELOPMENT_SECRET

    def callback_url(self) -> str:
        """Where workers reach the API."""
        if self.api_url:
            return self.api_url.rstrip("/")
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.api_host, self.api_host)  # noqa: S104 - compared
        return f"http://{f'[{host}]' if ':' in host else host}:{self.api_port}"


def _secret(value: SecretStr, file: Path | None, *, variable: str, default: str) -> str:
    secret = value.get_secret_value()
    return secret if file is None or secret != default else _read_or_make_secret(file, variable=f"{variable}_FILE")


def _read_or_make_secret(path: Path, *, variable: str) -> str:
    try:
        if not path.exists():
            _make_secret(path)
        secret = path.read_text().strip()
    except OSError as error:
        raise ConfigurationError(f"{variable}={path} can't be used: {error.strerror}") from error
    if len(secret) < 32:
        raise ConfigurationError(f"{variable}={path} holds fewer than 32 characters: delete it or fill it")
    return secret


def _make_secret(path: Path) -> None:
    """Write a random secret that only we may read; whole from the first moment, and the first of several wins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(48))
        with contextlib.suppress(FileExistsError):
            os.link(name, path)
    finally:
        os.unlink(name)  # noqa: PTH108 - os.link's counterpart


def load_settings(**overrides: object) -> Settings:
    """Read the settings afresh; keyword arguments win over the environment.

    Raises:
        ConfigurationError: a value is not valid; the message names the variable and what it takes.
    """
    try:
        return Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        problems = "; ".join(f"{variable_of(str(e['loc'][0]))}: {e['msg']}" for e in error.errors())
        raise ConfigurationError(f"settings are not valid: {problems}") from None


def variable_of(field: str) -> str:
    """The environment variable that sets a field, for example `LAB_PREFETCH`."""
    info = Settings.model_fields.get(field)
    if info is not None and isinstance(info.validation_alias, str):
        return info.validation_alias
    if info is not None and isinstance(info.validation_alias, AliasChoices):
        return str(info.validation_alias.choices[0])
    return field if field.isupper() else f"LAB_{field.upper()}"


def env_example() -> str:
    """The text of `.env.example`: every setting with its description and its default."""
    lines = [
        "# Every setting of the lab with its default. Copy this file to `.env`, uncomment what you change.",
        "# Renewed by `python -m labs.settings > .env.example`.",
    ]
    for name, info in Settings.model_fields.items():
        lines += ["", f"# {info.description}", f"#{variable_of(name)}={_written(info.default)}"]
    return "\n".join(lines) + "\n"


def _written(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, Path):
        return str(value.relative_to(ROOT))
    if isinstance(value, tuple):
        return ",".join(str(part) for part in value)
    return "" if value is None else str(value)


@functools.cache
def get_settings() -> Settings:
    """The settings of this process, read once."""
    return load_settings()


if __name__ == "__main__":
    print(env_example(), end="")
