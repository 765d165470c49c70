"""Who asks, where users have names: a bearer token says it; in development, on loopback, `X-User-Id` alone does too."""

from typing import Annotated

from fastapi import HTTPException, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials

from labs.service.auth import BEARER, Authenticator, unauthorized
from labs.settings import Settings
from labs.systems.user import USER_NAME, USER_NAME_FORM, NamedUser

_USER_ID = APIKeyHeader(
    name="X-User-Id",
    scheme_name="UserId",
    description="In development on loopback; elsewhere it must agree with the token.",
    auto_error=False,
)


class NamedUsers:
    """A dependency that gives the user of a request.

    A token wins. A header beside it must name the same user, else 403: somebody in between is confused, and neither
    may be believed. A header alone is believed only where `Settings.trusts_user_id` says so, else 401.
    """

    def __init__(self, settings: Settings, users: Authenticator) -> None:
        self._trusts_header = settings.trusts_user_id()
        self._users = users

    async def __call__(
        self,
        given: Annotated[HTTPAuthorizationCredentials | None, Security(BEARER)],
        header: Annotated[str | None, Security(_USER_ID)],
    ) -> NamedUser:
        if given is None:
            return self._by_header(header)
        name = str(self._users.claims(given.credentials.strip())["sub"])
        if header is not None and header != name:
            raise HTTPException(403, "the token is another user's than X-User-Id names: send the token alone")
        return _user(name, "the token's subject")

    def _by_header(self, header: str | None) -> NamedUser:
        if header is None:
            raise unauthorized("a bearer token is needed: python -m labs token")
        if not self._trusts_header:
            raise unauthorized("X-User-Id alone proves nothing here: send a bearer token")
        return _user(header, "X-User-Id")


def _user(name: str, what: str) -> NamedUser:
    if USER_NAME.fullmatch(name) is None:
        raise unauthorized(f"{what} is not a user id: {USER_NAME_FORM}")
    return NamedUser(name)
