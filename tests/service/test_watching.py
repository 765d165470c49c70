"""Health, metrics and the OpenAPI document of a running API."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.service.conftest import PREFIX, Service, ask, until_ended

RESUMES = "/api/v1/resumes"
DOCS = "/v1/docs"
WRITES = ("401", "403", "413", "415", "422", "429", "503")
READS = ("401", "403", "422", "503")
#: Where routes of systems begin.
SYSTEMS = ("/api/", "/v1/")
PEERS = "/v1/peers"
#: Of routes that ask a service over the broker, and of those that take a body.
ASKING = ("401", "422", "503", "504")
WITH_BODY = ("413", "415", "429")
WORKERS_ONLY = {"200", "401", "403", "404", "409", "413", "415", "422", "503"}


@pytest.fixture
def document(client: httpx.Client) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/openapi.json").json()
    return found


def test_a_healthy_service_says_so_without_a_token(service: Service) -> None:
    with httpx.Client(base_url=service.stack.api_url, trust_env=False, timeout=60) as client:
        assert client.get("/healthz").json() == {"status": "ok"}
        ready = client.get("/readyz")
    assert ready.status_code == 200
    assert ready.json() == {"status": "ok", "database": "up", "broker": "up"}


def test_metrics_can_be_parsed_and_name_routes_by_their_templates(client: httpx.Client) -> None:
    job_id = ask(client)
    until_ended(client, job_id)
    client.get("/no/such/path")
    client.post(PREFIX, content=b"x" * 300_000)

    response = client.get("/metrics")

    assert response.headers["content-type"].startswith("text/plain")
    samples = [sample for family in text_string_to_metric_families(response.text) for sample in family.samples]
    requests = [sample for sample in samples if sample.name == "lab_http_request_seconds_count"]
    counted = {(sample.labels["method"], sample.labels["route"], sample.labels["status"]) for sample in requests}
    assert {("POST", PREFIX, "202"), ("GET", PREFIX + "/status/{jobId}", "200"), ("GET", "none", "404")} <= counted
    assert ("POST", "none", "413") in counted
    assert job_id not in response.text
    completed = {"system": "cover_letters", "status": "completed"}
    assert [sample.value >= 1 for sample in samples if sample.name == "lab_jobs" and sample.labels == completed] == [
        True
    ]
    assert "lab_outbox_unpublished" in {sample.name for sample in samples}


def test_every_operation_documents_what_it_may_answer(document: dict[str, Any]) -> None:
    statuses = {
        (method.upper(), path): set(operation["responses"])
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }
    assert statuses == {
        ("POST", PREFIX): {"202", "401", "413", "415", "422", "429", "503"},
        ("POST", PREFIX + "/sync"): {"200", "401", "413", "415", "422", "429", "502", "503"},
        ("GET", PREFIX + "/status/{jobId}"): {"200", "401", "404", "422", "503"},
        ("GET", PREFIX + "/status/{jobId}/events"): {"200", "401", "404", "422", "503"},
        ("GET", PREFIX + "/jobs"): {"200", "401", "422", "503"},
        ("POST", RESUMES + "/generate"): {"202", "401", "413", "415", "422", "429", "503"},
        ("POST", RESUMES + "/generate/batch"): {"202", "401", "413", "415", "422", "429", "503"},
        ("GET", RESUMES + "/jobs"): {"200", "401", "422", "503"},
        ("GET", RESUMES + "/jobs/{jobId}/status"): {"200", "401", "404", "422", "503"},
        ("POST", RESUMES + "/jobs/{jobId}/cancel"): {"200", "401", "404", "409", "422", "503"},
        ("POST", RESUMES + "/jobs/{jobId}/complete"): WORKERS_ONLY,
        ("POST", RESUMES + "/jobs/{jobId}/fail"): WORKERS_ONLY,
        ("GET", RESUMES + "/{resumeId}/pdf"): {"200", "401", "404", "422", "503"},
        ("PUT", RESUMES + "/profile"): {"204", "401", "413", "415", "422", "429", "503"},
        ("PUT", "/api/v1/job-applications/{jobApplicationId}"): {"204", "401", "413", "415", "422", "429", "503"},
        ("POST", DOCS): {"201", *WRITES},
        ("GET", DOCS): {"200", *READS},
        ("GET", DOCS + "/search"): {"200", *READS},
        ("GET", DOCS + "/analytics"): {"200", *READS},
        ("GET", DOCS + "/{documentId}"): {"200", "404", *READS},
        ("PUT", DOCS + "/{documentId}"): {"200", "404", "409", "412", *WRITES},
        ("POST", DOCS + "/{documentId}/comments"): {"201", "404", *WRITES},
        ("GET", DOCS + "/{documentId}/comments"): {"200", "404", *READS},
        ("POST", "/v1/users"): {"201", "409", *WRITES},
        ("GET", "/v1/notifications"): {"200", *READS},
        ("POST", PEERS + "/users"): {"201", "409", *ASKING, *WITH_BODY},
        ("GET", PEERS + "/users/{user_id}/profile"): {"200", "404", *ASKING},
        ("POST", PEERS + "/matches"): {"200", "404", *ASKING, *WITH_BODY},
        ("POST", PEERS + "/sessions/{session_id}/updates"): {"200", "404", "409", *ASKING, *WITH_BODY},
        ("GET", PEERS + "/sessions/{session_id}/events"): {"200", "404", "429", *ASKING},
        ("GET", "/healthz"): {"200"},
        ("GET", "/readyz"): {"200", "503"},
        ("GET", "/metrics"): {"200"},
    }


def test_every_answer_has_an_example_and_errors_are_problem_documents(document: dict[str, Any]) -> None:
    for path, operations in document["paths"].items():
        for operation in operations.values():
            for status, response in operation["responses"].items():
                content = response.get("content", {})
                if status >= "400" and path.startswith(SYSTEMS):
                    problem = content["application/problem+json"]
                    assert problem["schema"] == {"$ref": "#/components/schemas/Problem"}
                    assert problem["example"]["status"] == int(status)
                elif not path.endswith(("/events", "/pdf")) and status != "204":
                    [shown] = content.values()
                    assert "example" in shown or "example" in _schema(document, shown["schema"]), (path, status)
    assert "example" in document["components"]["schemas"]["CoverLetterRequest"]
    assert set(document["components"]["schemas"]["Problem"]["properties"]) == {"title", "status", "detail", "errors"}


def _schema(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return found


def test_every_reference_in_the_document_leads_somewhere(document: dict[str, Any]) -> None:
    references = re.findall(r"'\$ref': '#/components/schemas/(\w+)'", str(document))
    assert set(references) <= set(document["components"]["schemas"])


def test_the_document_asks_for_a_bearer_token_where_one_is_needed(document: dict[str, Any]) -> None:
    assert document["components"]["securitySchemes"]["HTTPBearer"]["scheme"] == "bearer"
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert ("security" in operation) == path.startswith(SYSTEMS)


def test_the_docs_page_needs_nothing_from_elsewhere(client: httpx.Client) -> None:
    page = client.get("/docs")
    assert page.status_code == 200
    links = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert links
    for link in links:
        assert link.startswith("/"), f"{link} is not ours"
        assert client.get(link).status_code == 200
