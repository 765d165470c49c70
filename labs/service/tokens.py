"""Makes bearer tokens: HS256, with an audience and an expiry; `labs.service.auth` checks them."""

from __future__ import annotations

import time
from typing import Any

import jwt

from labs.settings import Settings

ALGORITHM = "HS256"


def make_token(
    settings: Settings, *, user_id: int | str, email: str | None = None, lifetime_s: int | None = None
) -> str:
    """Sign a token for a user, valid for `lifetime_s` seconds."""
    now_s = int(time.time())
    claims: dict[str, Any] = {
        "sub": str(user_id),
        "aud": settings.jwt_audience,
        "iat": now_s,
        "exp": now_s + (settings.token_lifetime_s if lifetime_s is None else lifetime_s),
    }
    if email:
        claims["email"] = email
    return jwt.encode(claims, settings.signing_secret(), algorithm=ALGORITHM)
