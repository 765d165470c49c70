"""jobs: lists, shows one, and speaks JSON to scripts."""

from __future__ import annotations

import json
import uuid

import pytest

from labs.messaging.message import now
from labs.store.database import Database
from labs.store.jobs import Jobs, NewJob
from labs.systems.cover_letters.jobs import TABLE, command
from labs.systems.cover_letters.messages import GenerateCoverLetter
from labs.systems.resumes.jobs import TABLE as RESUMES
from tests.commands.conftest import CommandLine, assert_failed
from tests.databases import resume


@pytest.fixture
async def asked(database_url: str) -> list[str]:
    """Three pending jobs of user 1, oldest first."""
    ids = [str(uuid.uuid4()) for _ in range(3)]
    async with Database(database_url, name="test") as database:
        await database.apply_schema()
        for job_id in ids:
            body = GenerateCoverLetter(jobId=job_id, userId=1, jobDescription="a", cvText="cv-marker", createdAt=now())
            inputs = {"job_description": "a", "cv_text": "cv-marker", "tone": "concise"}
            message = command(body, traceparent="00-" + "1" * 32 + "-" + "2" * 16 + "-01")
            new = NewJob(job_id=job_id, user_id=1, email=None, inputs=inputs, message=message)
            await Jobs(database, TABLE).create(new)
    return ids


def test_jobs_are_listed_newest_first(labs: CommandLine, asked: list[str]) -> None:
    listed = json.loads(labs.ok("jobs", "--json"))
    assert [job["job_id"] for job in listed] == asked[::-1]
    assert {job["status"] for job in listed} == {"pending"}
    assert [job["job_id"] for job in json.loads(labs.ok("jobs", "--json", "--limit", "1"))] == asked[2:]
    assert json.loads(labs.ok("jobs", "--json", "--user", "2")) == []
    # Whole ids for people too.
    table = labs.ok("jobs")
    assert all(job_id in table for job_id in asked)


@pytest.fixture
async def other(database_url: str) -> str:
    """A resume that user 1 has asked for."""
    async with Database(database_url, name="test") as database:
        await database.apply_schema()
        [made] = await Jobs(database, RESUMES).create(resume())
    return made.job.job_id


def test_the_jobs_of_another_system_are_listed_and_shown(labs: CommandLine, asked: list[str], other: str) -> None:
    [listed] = json.loads(labs.ok("jobs", "--system", "resumes", "--json"))
    assert (listed["job_id"], listed["status"]) == (other, "pending")
    # What users wrote and got stays in the database.
    assert not {"metadata", "result", "job_description"} & set(listed)
    assert other in labs.ok("jobs", "--system", "resumes")
    assert asked[0] not in labs.ok("jobs", "--system", "resumes")
    # An id tells its system by itself.
    assert "pending" in labs.ok("jobs", other)


def test_an_unknown_system_is_wrong_usage_and_names_those_that_there_are(labs: CommandLine) -> None:
    done = labs("jobs", "--system", "letters")
    assert (done.returncode, done.stdout) == (2, "")
    assert "cover_letters, resumes" in done.stderr


def test_one_job_is_shown_with_its_way(labs: CommandLine, asked: list[str]) -> None:
    [step] = json.loads(labs.ok("jobs", asked[0], "--json"))
    assert set(step) == {"at", "what", "where"}
    assert "pending" in step["what"]
    table = labs.ok("jobs", asked[0])
    assert asked[0] in table
    assert "pending" in table
    assert "cv-marker" not in table


def test_an_unknown_job_is_one_clear_line(labs: CommandLine, asked: list[str]) -> None:
    assert_failed(labs("jobs", "no-such-job"), 1, "no-such-job")


def test_a_database_without_tables_is_one_clear_line(labs: CommandLine) -> None:
    assert_failed(labs("jobs"), 1, "no tables")
    assert_failed(labs("jobs", "some-job"), 1, "no tables")


def test_a_database_that_is_down_is_one_clear_line(labs: CommandLine) -> None:
    assert_failed(labs("jobs", LAB_DATABASE_URL="postgresql://nobody@127.0.0.1:1/none"), 1, "database")
