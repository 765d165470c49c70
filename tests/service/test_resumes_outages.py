"""Resumes while a part is away: the API that workers call back, the model, the broker."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from labs.broker import VirtualHost
from labs.llm.dials import Constant, Dials
from labs.processes import wait_until
from tests.service.conftest import Service, has_tables, make_service, standing_still
from tests.service.test_resumes import DESCRIPTION, RESUMES, ask, status, until


@pytest.fixture
def own(vhost: VirtualHost, database_url: str, tmp_path: Path) -> Iterator[Service]:
    """A service that this test may break."""
    made = make_service(vhost.amqp_url, database_url, tmp_path / "logs", stub_dials=_dials(800))
    with made.stack:
        yield made


def _dials(ms: int) -> str:
    return Dials(latency=Constant(ms=ms)).model_dump_json()


def test_a_result_is_held_while_the_api_is_away_and_committed_once(own: Service) -> None:
    own.stack.start()
    with standing_still(own, "stub"):
        with own.client() as client:
            job_id = ask(client)
            until(client, job_id, "processing")
        # Given an API that dies while the model writes,
        own.stack.of("api")[0].kill()
    assert wait_until(lambda: "holding a result" in own.logs(), timeout_s=90)
    own.stack.start_api()
    # when it is back, then the resume that was made is committed, and the model was asked once.
    with own.client(user_id=_owner(own, job_id)) as client:
        job = until(client, job_id, "completed")
        assert client.get(f"{RESUMES}/{job['resumeId']}/pdf").content.startswith(b"%PDF-")
    with own.stack.stub as stub:
        assert len(stub.ledger(request_id=job_id).calls) == 1
    assert len(own.rows("SELECT 1 FROM job_history WHERE job_id = %s AND step = 'completed'", job_id)) == 1
    assert len(own.rows("SELECT 1 FROM resumes")) == 1


def _owner(service: Service, job_id: str) -> int:
    return int(service.rows("SELECT user_id FROM resume_jobs WHERE job_id = %s", job_id)[0]["user_id"])


def test_a_worker_with_another_secret_is_refused_and_its_results_are_held(own: Service) -> None:
    own.stack.start(workers=0)
    own.stack.start_worker(worker_secret="another-secret-of-more-than-32-characters")
    with own.client() as client:
        job_id = ask(client)
        assert wait_until(lambda: "same LAB_WORKER_SECRET" in own.logs(), timeout_s=90)
        assert status(client, job_id)["status"] == "processing"


def test_without_a_model_resumes_are_made_and_say_so(own: Service) -> None:
    own.stack.start(workers=0)
    own.stack.start_worker(model_timeout_s=2)
    own.stack.of("stub")[0].kill()
    with own.client() as client:
        job = until(client, ask(client), "completed")
    assert job["metadata"]["enhanced"] is False
    assert job["metadata"]["enhancementError"] == "the model does not answer"


def test_a_model_that_never_answers_is_waited_for_within_bounds(own: Service) -> None:
    own.stack.start(workers=0)
    own.stack.start_worker(enhance_timeout_s=0.5)
    with own.client() as client:
        job = until(client, ask(client), "completed")
    assert job["metadata"]["enhancementError"] == "the model gave no answer within 0.5 s"


def test_with_no_broker_jobs_are_accepted_wait_and_can_be_cancelled(own: Service) -> None:
    # Given an API and nothing else,
    own.stack.start_api()
    with own.client() as client:
        has_tables(client, f"{RESUMES}/jobs")
        first, second = ask(client), ask(client, metadata={"n": str(uuid.uuid4())})
        assert status(client, first)["status"] == "pending"
        assert client.post(f"{RESUMES}/jobs/{first}/cancel").json()["status"] == "cancelled"
        # when the rest is started,
        own.stack.start_stub()
        own.stack.start_relay()
        own.stack.start_worker(api_url=own.stack.api_url)
        # then what was not cancelled is done,
        until(client, second, "completed")
        # and the other's message is taken and comes to nothing.
        assert wait_until(lambda: "duplicate of an ended job" in own.logs(), timeout_s=90)
        assert status(client, first)["status"] == "cancelled"
    with own.stack.stub as stub:
        assert stub.ledger(request_id=first).calls == ()


def test_what_cannot_be_typeset_fails_at_once_with_its_code(own: Service) -> None:
    own.stack.start()
    with own.client() as client:
        # Given a message that no request could have made,
        own.execute(
            "CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "NEW.body := jsonb_set(NEW.body::jsonb, '{metadata,profile}', '{\"cv\": \"x\"}')::text; RETURN NEW; END $$;"
            "CREATE TRIGGER spoil BEFORE INSERT ON outbox FOR EACH ROW "
            "WHEN (NEW.type = 'resumes.generate') EXECUTE FUNCTION spoil()"
        )
        job = until(client, ask(client, jobDescription=DESCRIPTION), "failed")
        assert job["errorCode"] == "pdf_failed"
        assert job["errorMessage"] == "the PDF could not be made from these data"
        assert "resumeId" not in job
