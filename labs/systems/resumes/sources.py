"""What users keep for their resumes: who they are, and the descriptions of the jobs that they apply for."""

from __future__ import annotations

from typing import Any

from psycopg.types.json import Jsonb

from labs.store.database import Database

_PUT_PROFILE = """
INSERT INTO resume_profiles (user_id, profile) VALUES (%s, %s)
ON CONFLICT (user_id) DO UPDATE SET profile = EXCLUDED.profile, updated_at = clock_timestamp()
"""
_PUT_DESCRIPTION = """
INSERT INTO job_applications (user_id, id, job_description) VALUES (%s, %s, %s)
ON CONFLICT (user_id, id) DO UPDATE SET job_description = EXCLUDED.job_description, updated_at = clock_timestamp()
"""


class Sources:
    """Each is its user's own; a later one replaces it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put_profile(self, profile: dict[str, Any], *, user_id: int) -> None:
        """Keep who a user is."""
        await self._database.execute(_PUT_PROFILE, user_id, Jsonb(profile))

    async def profile(self, *, user_id: int) -> dict[str, Any] | None:
        """Who a user is, if that was said."""
        row = await self._database.row("SELECT profile FROM resume_profiles WHERE user_id = %s", user_id)
        return dict(row["profile"]) if row else None

    async def put_description(self, job_description: str, application_id: str, *, user_id: int) -> None:
        """Keep what an application is for."""
        await self._database.execute(_PUT_DESCRIPTION, user_id, application_id, job_description)

    async def description(self, application_id: str, *, user_id: int) -> str | None:
        """What an application is for, if that was said."""
        query = "SELECT job_description FROM job_applications WHERE user_id = %s AND id = %s"
        row = await self._database.row(query, user_id, application_id)
        return str(row["job_description"]) if row else None
