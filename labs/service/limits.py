"""How many requests a user may make: counted per user in a moving window, answered with 429 and Retry-After."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from fastapi import Depends, HTTPException
from limits import RateLimitItem, parse
from limits.aio.strategies import MovingWindowRateLimiter
from limits.errors import ConfigurationError as LimitsError
from limits.storage import storage_from_string

from labs.errors import ConfigurationError
from labs.settings import Settings
from labs.systems.user import NamedUser, User


class RateLimit:
    """Counts requests that make work."""

    def __init__(self, settings: Settings) -> None:
        try:
            self._limit: RateLimitItem = parse(settings.rate_limit)
            storage = storage_from_string(f"async+{settings.rate_limit_storage}")
        except (ValueError, LimitsError) as error:
            raise ConfigurationError(f"LAB_RATE_LIMIT or LAB_RATE_LIMIT_STORAGE is not valid: {error}") from None
        self._limiter = MovingWindowRateLimiter(storage)

    def limited(self, authenticate: Callable[..., Any]) -> Callable[..., Any]:
        """A dependency: the user of a request, if within the limit; else 429."""

        async def user(user: User | NamedUser = Depends(authenticate)) -> User | NamedUser:  # noqa: B008 - FastAPI's way
            if await self._limiter.hit(self._limit, str(user.id)):
                return user
            window = await self._limiter.get_window_stats(self._limit, str(user.id))
            wait_s = max(1, math.ceil(window.reset_time - time.time()))
            raise HTTPException(429, f"more than {self._limit}: try again later", headers={"Retry-After": str(wait_s)})

        return user
