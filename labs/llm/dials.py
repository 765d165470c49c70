"""The dials of the stub model: how slow it is and how it fails, repeatable from a seed."""

from __future__ import annotations

import enum
import math
import random
import statistics
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Milliseconds = Annotated[float, Field(ge=0, le=3_600_000, allow_inf_nan=False)]
Rate = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]

_NORMAL = statistics.NormalDist()


class Fault(enum.StrEnum):
    """The ways in which a call can be made to fail."""

    RATE_LIMIT = "rate_limit"
    SERVER_ERROR = "server_error"
    TIMEOUT = "timeout"
    RESET = "reset"
    SLOW_DRIP = "slow_drip"
    GARBAGE = "garbage"
    EMPTY = "empty"


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Constant(_Model):
    """Every call takes the same time."""

    kind: Literal["constant"] = "constant"
    ms: Milliseconds

    def sample_ms(self, rng: random.Random) -> float:
        rng.random()  # one draw a call, whatever the kind: changing the latency leaves the faults where they were
        return self.ms


class Uniform(_Model):
    """Any time between two bounds, all equally likely."""

    kind: Literal["uniform"] = "uniform"
    min_ms: Milliseconds
    max_ms: Milliseconds

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min_ms > self.max_ms:
            raise ValueError("min_ms must not be above max_ms")
        return self

    def sample_ms(self, rng: random.Random) -> float:
        return self.min_ms + rng.random() * (self.max_ms - self.min_ms)


class LogNormal(_Model):
    """Mostly near the median, with a long tail, as real models are."""

    kind: Literal["lognormal"] = "lognormal"
    median_ms: Milliseconds
    sigma: Annotated[float, Field(ge=0, le=3, allow_inf_nan=False)]

    def sample_ms(self, rng: random.Random) -> float:
        return self.median_ms * math.exp(self.sigma * _standard_normal(rng.random()))


class Exponential(_Model):
    """Memoryless: the service time of queueing theory's M/M/c."""

    kind: Literal["exponential"] = "exponential"
    mean_ms: Milliseconds

    def sample_ms(self, rng: random.Random) -> float:
        return -self.mean_ms * math.log(1 - rng.random())


Latency = Annotated[Constant | Uniform | LogNormal | Exponential, Field(discriminator="kind")]


class ErrorRates(_Model):
    """The share of calls that meets each fault; what is left is answered."""

    rate_limit: Rate = Field(default=0, description="429 with Retry-After, at once.")
    server_error: Rate = Field(default=0, description="500.")
    timeout: Rate = Field(default=0, description="The connection is held and nothing is ever sent.")
    reset: Rate = Field(default=0, description="The TCP connection is reset; a stream is reset half way.")
    slow_drip: Rate = Field(default=0, description="A good answer, byte by byte.")
    garbage: Rate = Field(default=0, description="200 with a body that is no completion.")
    empty: Rate = Field(default=0, description="200 with an empty text.")

    @model_validator(mode="after")
    def _at_most_one(self) -> Self:
        if sum(getattr(self, fault) for fault in Fault) > 1 + 1e-9:
            raise ValueError("the rates must not add up to more than 1")
        return self

    def pick(self, draw: float) -> Fault | None:
        """The fault that a number from [0, 1) falls on."""
        for fault in Fault:
            draw -= getattr(self, fault)
            if draw < 0:
                return fault
        return None


class Dials(_Model):
    """All dials. The n-th call after they were set meets the same latency and fault for the same seed."""

    latency: Latency = LogNormal(median_ms=800, sigma=0.5)
    errors: ErrorRates = ErrorRates()
    seed: int = Field(default=1, description="Decides latencies, faults and the wording of letters.")
    retry_after_s: float = Field(default=1, ge=0, le=3600, description="Retry-After of a 429.")
    token_interval_ms: Milliseconds = Field(default=0, description="Pause between two pieces of a stream.")
    drip_interval_ms: Milliseconds = Field(default=1000, description="Pause between two bytes of a slow drip.")
    hold_s: float = Field(
        default=600, ge=0, le=3600, description="Seconds after which a timeout or slow drip hangs up."
    )


class Dice:
    """Draws each call's lot: always two numbers a call, so that one dial doesn't shift the draws of another."""

    def __init__(self, dials: Dials) -> None:
        self._dials = dials
        self._rng = random.Random(dials.seed)  # noqa: S311 - repeatable on purpose

    def throw(self) -> tuple[float, Fault | None]:
        """Latency in ms, and the fault to meet, if any."""
        latency_ms = self._dials.latency.sample_ms(self._rng)
        return latency_ms, self._dials.errors.pick(self._rng.random())


def _standard_normal(draw: float) -> float:
    return _NORMAL.inv_cdf(min(max(draw, 1e-12), 1 - 1e-12))
