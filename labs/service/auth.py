"""Bearer tokens: HS256, with an audience and an expiry that are checked, and nothing else accepted."""

import re
from typing import Annotated, Any

import jwt
from fastapi import HTTPException, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from labs.service.tokens import ALGORITHM
from labs.settings import Settings
from labs.systems.callback import ROLE
from labs.systems.user import User

_LARGEST_USER_ID = 2**31 - 1

# auto_error is off because its answer would lack what we say of each case.
BEARER = HTTPBearer(bearerFormat="JWT", description="From `python -m labs token`.", auto_error=False)
_WORKER = HTTPBearer(
    scheme_name="Worker", bearerFormat="JWT", description="Made by workers themselves.", auto_error=False
)


class Authenticator:
    """A dependency that gives the user of a request, or answers 401."""

    def __init__(self, settings: Settings) -> None:
        self._secret = settings.signing_secret()
        self._audience = settings.jwt_audience

    async def __call__(self, given: Annotated[HTTPAuthorizationCredentials | None, Security(BEARER)]) -> User:
        if given is None:
            raise unauthorized("a bearer token is needed: python -m labs token")
        return _user(self.claims(given.credentials.strip()))

    def claims(self, token: str) -> dict[str, Any]:
        """What a user's token says.

        Raises:
            HTTPException: 401, saying what is wrong but nothing of the token.
        """
        try:
            return _claims(token, self._secret, audience=self._audience, required=("exp", "aud", "sub"))
        except jwt.ExpiredSignatureError:
            raise unauthorized("the token has expired: make a new one") from None
        except jwt.InvalidAudienceError:
            raise unauthorized("the token is for another audience") from None
        except jwt.PyJWTError:
            raise unauthorized("the token is not valid") from None


class WorkersOnly:
    """A dependency that lets workers in: 403 to users, 401 to everybody else."""

    def __init__(self, settings: Settings, users: Authenticator) -> None:
        self._secret = settings.worker_signing_secret()
        self._audience = settings.jwt_audience
        self._users = users

    async def __call__(self, given: Annotated[HTTPAuthorizationCredentials | None, Security(_WORKER)]) -> None:
        if given is not None and self._is_worker(given.credentials.strip()):
            return
        await self._users(given)
        raise HTTPException(403, "this route is for workers")

    def _is_worker(self, token: str) -> bool:
        try:
            claims = _claims(token, self._secret, audience=self._audience, required=("exp", "aud"))
        except jwt.PyJWTError:
            return False
        return claims.get("role") == ROLE


def _claims(token: str, secret: str, *, audience: str, required: tuple[str, ...]) -> dict[str, Any]:
    """What a token says, if it is ours, for us and not expired.

    Raises:
        jwt.PyJWTError: it is not.
    """
    claims: dict[str, Any] = jwt.decode(
        token, secret, algorithms=[ALGORITHM], audience=audience, options={"require": list(required)}
    )
    return claims


def _user(claims: dict[str, Any]) -> User:
    subject = str(claims["sub"])
    # Ten digits at most: int() refuses thousands of them with an error of its own.
    if not re.fullmatch("[0-9]{1,10}", subject) or not 0 < int(subject) <= _LARGEST_USER_ID:
        raise unauthorized("the token's subject is not a user id")
    email = claims.get("email")
    return User(int(subject), email[:320] if isinstance(email, str) and email.isprintable() else None)


def unauthorized(detail: str) -> HTTPException:
    """The answer to who can't say who he is."""
    return HTTPException(401, detail, headers={"WWW-Authenticate": "Bearer"})
