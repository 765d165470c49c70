"""What the model has made of descriptions is kept for a while, and not for ever."""

from __future__ import annotations

from labs.settings import load_settings
from labs.store.database import Database
from labs.systems.resumes.system import RESUMES
from tests.databases import rows

DAY_S = 24 * 3600.0


async def test_what_is_older_than_its_lifetime_is_swept_away_and_nothing_else(database: Database) -> None:
    assert RESUMES.sweep is not None
    for key, age_days in (("old", 8), ("older", 80), ("young", 6)):
        query = "INSERT INTO resume_enhancements VALUES (%s, 'text', now() - make_interval(days => %s))"
        await rows(database, query, key, age_days)
    for _ in range(2):  # harmless to repeat
        await RESUMES.sweep(database, load_settings(enhancement_lifetime_s=7 * DAY_S))
        assert await rows(database, "SELECT key FROM resume_enhancements") == [{"key": "young"}]
