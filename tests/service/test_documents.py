"""The document routes and the whole way of an event: API, outbox, relay, fanout exchange, three consumers."""

from __future__ import annotations

import json
import uuid
from typing import Any

import httpx
import pytest

from labs.processes import wait_until
from labs.systems.documents.topology import QUEUES
from tests.service.conftest import RATE, Service, assert_problem

DOCS = "/v1/docs"
#: As the design document has it.
EXAMPLE = {"title": "API Design Guide", "content": "REST API best practices...", "tags": ["api", "rest"]}
LONGEST = {"title": 200, "content": 200_000}


def post(client: httpx.Client, **changes: Any) -> dict[str, Any]:
    """Create a document."""
    response = client.post(DOCS, json={**EXAMPLE, **changes})
    assert response.status_code == 201, response.text
    found: dict[str, Any] = response.json()
    return found


def put(client: httpx.Client, document: dict[str, Any], **changes: Any) -> dict[str, Any]:
    response = client.put(f"{DOCS}/{document['documentId']}", json=changes)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def texts(client: httpx.Client) -> list[str]:
    """What the user is told, newest first."""
    return [told["text"] for told in client.get("/v1/notifications").json()["notifications"]]


def found(client: httpx.Client, words: str) -> list[tuple[str, int]]:
    """Ids and versions of what is found."""
    response = client.get(f"{DOCS}/search", params={"q": words})
    assert response.status_code == 200, response.text
    return [(document["documentId"], document["version"]) for document in response.json()["documents"]]


def unique() -> str:
    """A word that no other document has."""
    return f"w{uuid.uuid4().hex}"


def test_a_document_is_created_read_and_changed(client: httpx.Client) -> None:
    response = client.post(DOCS, json=EXAMPLE)
    assert response.status_code == 201
    document = response.json()
    assert {name: document[name] for name in EXAMPLE} == EXAMPLE
    assert document["version"] == 1
    where = response.headers["location"]
    assert where == f"{DOCS}/{document['documentId']}"
    assert client.get(where).json() == document
    # What isn't given stays as it is.
    changed = client.put(where, json={"content": "Updated content..."})
    assert changed.json() | {"updatedAt": document["updatedAt"]} == document | {
        "content": "Updated content...",
        "version": 2,
    }
    assert changed.headers["etag"] == client.get(where).headers["etag"] == '"2"'
    # What changes nothing is no new version.
    assert client.put(where, json={"content": "Updated content...", "tags": ["api", "rest"]}).json()["version"] == 2


def test_one_event_reaches_all_three_consumers(service: Service, client: httpx.Client) -> None:
    word = unique()
    document = post(client, title=f"API Guide {word}")
    assert wait_until(lambda: found(client, word) == [(document["documentId"], 1)], timeout_s=60)
    assert wait_until(lambda: texts(client) == [f"Your document 'API Guide {word}' has been created"], timeout_s=60)
    handled = "SELECT i.consumer FROM inbox i JOIN outbox o USING (message_id) WHERE o.correlation_id = %s"
    assert wait_until(
        lambda: {row["consumer"] for row in service.rows(handled, document["documentId"])} == set(QUEUES), timeout_s=60
    )
    # The body is the design document's, byte for byte.
    [row] = service.rows("SELECT body, type FROM outbox WHERE correlation_id = %s", document["documentId"])
    assert json.loads(row["body"]) == {
        "type": "document.created",
        "timestamp": document["createdAt"],
        "data": {
            "documentId": document["documentId"],
            "title": document["title"],
            "createdBy": document["createdBy"],
            "tags": ["api", "rest"],
        },
    }
    assert list(json.loads(row["body"])) == ["type", "timestamp", "data"]
    lines = (
        "Subscribed to queue",
        "document.created event published",
        "Processing document.created event",
        "Event processed",
    )
    assert wait_until(lambda: all(line in service.logs() for line in lines), timeout_s=60)
    assert word not in service.logs()


def test_a_change_is_found_and_told_and_counted(service: Service, client: httpx.Client) -> None:
    before, after = unique(), unique()
    counts = today(client)
    document = post(client, content=before)
    put(client, document, content=after, tags=["renewed"])
    assert wait_until(lambda: found(client, after) == [(document["documentId"], 2)], timeout_s=60)
    assert found(client, before) == []
    assert wait_until(lambda: len(texts(client)) == 2, timeout_s=60)
    assert texts(client) == [f"Your document '{document['title']}' has been {what}" for what in ("updated", "created")]
    assert wait_until(
        lambda: (
            today(client)["documentsCreated"] > counts["documentsCreated"]
            and today(client)["documentsUpdated"] > counts["documentsUpdated"]
        ),
        timeout_s=60,
    )
    lines = ("document.updated event published", "Processing document.updated event")
    assert wait_until(lambda: all(line in service.logs() for line in lines), timeout_s=60)


def today(client: httpx.Client) -> dict[str, int]:
    """What has been counted today; a test at midnight may see yesterday's."""
    response = client.get(f"{DOCS}/analytics", params={"days": 2})
    assert response.status_code == 200
    return dict(next(iter(response.json()["days"]), {"documentsCreated": 0, "documentsUpdated": 0, "commentsAdded": 0}))


def test_words_are_found_as_people_write_them(client: httpx.Client) -> None:
    word = unique()
    guide = post(client, title=f"Guides {word}", content="Of rabbits", tags=["hop"])["documentId"]
    other = post(client, title=f"Other {word}", content="Of quick hares, and of a guide", tags=[])["documentId"]
    assert wait_until(lambda: len(found(client, word)) == 2, timeout_s=60)
    # In any form, what is in the title first;
    assert [id_ for id_, _ in found(client, f"{word} guide")] == [guide, other]
    # without, as a phrase, by tag; and whatever else is written is no error.
    assert [id_ for id_, _ in found(client, f"{word} -hares")] == [guide]
    assert [id_ for id_, _ in found(client, f'{word} "quick hares"')] == [other]
    assert [id_ for id_, _ in found(client, f"{word} hop")] == [guide]
    for odd in ("'", '"', "a & | !", "((", "%", "-", "\\", ":*"):
        assert client.get(f"{DOCS}/search", params={"q": odd}).status_code == 200
    for refused in ("", "x" * 201, "\x00"):
        assert_problem(client.get(f"{DOCS}/search", params={"q": refused}), 422, field="q")


def test_everybody_reads_and_comments_and_the_owner_alone_changes(service: Service, client: httpx.Client) -> None:
    document = post(client)
    where = f"{DOCS}/{document['documentId']}"
    with service.client() as other:
        assert other.get(where).json() == document
        assert_problem(other.put(where, json={"title": "Mine"}), 403)
        assert other.get(DOCS).json() == {"documents": []}
        comment = other.post(f"{where}/comments", json={"text": "Well said."})
        assert comment.status_code == 201
        assert other.get(f"{where}/comments").json() == {"comments": [comment.json()]}
        # The owner is told, and the other one is not.
        about = f"{comment.json()['createdBy']} has commented on your document '{document['title']}'"
        assert wait_until(lambda: about in texts(client), timeout_s=60)
        # Nobody is told of his own comment.
        client.post(f"{where}/comments", json={"text": "Thanks."})
        put(client, document, title="Another")
        assert wait_until(lambda: "Your document 'Another' has been updated" in texts(client), timeout_s=60)
        assert wait_until(lambda: len(texts(client)) == 3, timeout_s=60)
        assert texts(other) == []
    assert client.get(where).json()["title"] == "Another"
    newest_first = [comment["text"] for comment in client.get(f"{where}/comments").json()["comments"]]
    assert newest_first == ["Thanks.", "Well said."]


@pytest.mark.parametrize("path", ["", "/comments"])
def test_a_document_that_is_not_there_is_404(client: httpx.Client, path: str) -> None:
    missing = f"{DOCS}/{uuid.uuid4()}{path}"
    assert_problem(client.get(missing), 404)
    assert_problem(client.post(missing, json={"text": "x"}) if path else client.put(missing, json={"title": "x"}), 404)


def test_a_change_may_be_bound_to_what_was_seen(client: httpx.Client) -> None:
    document = post(client)
    where = f"{DOCS}/{document['documentId']}"
    assert client.put(where, json={"title": "2", "version": 1}).status_code == 200
    problem = assert_problem(client.put(where, json={"title": "3", "version": 1}), 409)
    assert "version 2" in problem["detail"]
    for stale in ('"1"', 'W/"2"', '"x"', "2", '"1", "7"'):
        assert_problem(client.put(where, json={"title": "3"}, headers={"If-Match": stale}), 412)
    assert_problem(client.put(where, json={"title": "3", "version": 1}, headers={"If-Match": '"2"'}), 412)
    for number, fresh in enumerate(('"2"', '"1", "3"', "*"), start=3):
        changed = client.put(where, json={"title": str(number)}, headers={"If-Match": fresh})
        assert changed.json()["version"] == number


def test_the_same_request_with_a_key_makes_one(service: Service, client: httpx.Client) -> None:
    key = {"Idempotency-Key": str(uuid.uuid4())}
    first, second = (client.post(DOCS, json=EXAMPLE, headers=key).json() for _ in range(2))
    assert first == second
    assert_problem(client.post(DOCS, json={**EXAMPLE, "title": "Another"}, headers=key), 422)
    assert len(service.rows("SELECT 1 FROM outbox WHERE correlation_id = %s", first["documentId"])) == 1
    where = f"{DOCS}/{first['documentId']}/comments"
    assert_problem(client.post(where, json={"text": "x"}, headers=key), 422)
    key = {"Idempotency-Key": str(uuid.uuid4())}
    first, second = (client.post(where, json={"text": "x"}, headers=key).json() for _ in range(2))
    assert first == second
    # Another user's key is another key.
    with service.client() as other:
        assert other.post(where, json={"text": "x"}, headers=key).json()["commentId"] != first["commentId"]


def test_lists_are_paged_newest_first(client: httpx.Client) -> None:
    ids = [post(client, title=str(number))["documentId"] for number in range(5)][::-1]
    first = client.get(DOCS, params={"limit": 3}).json()
    assert [document["documentId"] for document in first["documents"]] == ids[:3]
    assert "content" not in first["documents"][0]
    rest = client.get(DOCS, params={"limit": 3, "cursor": first["nextCursor"]}).json()
    assert [document["documentId"] for document in rest["documents"]] == ids[3:]
    assert "nextCursor" not in rest
    where = f"{DOCS}/{ids[0]}/comments"
    for number in range(3):
        client.post(where, json={"text": str(number)})
    page = client.get(where, params={"limit": 2}).json()
    assert [comment["text"] for comment in page["comments"]] == ["2", "1"]
    page = client.get(where, params={"limit": 2, "cursor": page["nextCursor"]}).json()
    assert [comment["text"] for comment in page["comments"]] == ["0"]
    assert wait_until(lambda: len(texts(client)) == 5, timeout_s=60)
    page = client.get("/v1/notifications", params={"limit": 4}).json()
    page = client.get("/v1/notifications", params={"limit": 4, "cursor": page["nextCursor"]}).json()
    assert [told["about"] for told in page["notifications"]] == ids[4:]
    for path in (DOCS, where, "/v1/notifications"):
        assert_problem(client.get(path, params={"cursor": "nonsense"}), 422, field="cursor")


def test_who_registers_is_welcomed_once(client: httpx.Client) -> None:
    ada = {"name": "Ada Lovelace", "email": "ada@example.com"}
    registered = [client.post("/v1/users", json=ada) for _ in range(2)]
    assert [response.status_code for response in registered] == [201, 201]
    assert registered[0].json() == registered[1].json()
    assert_problem(client.post("/v1/users", json={**ada, "name": "Another"}), 409)
    assert wait_until(lambda: texts(client) == ["Welcome, Ada Lovelace"], timeout_s=60)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no title": ({"content": "x"}, "title"),
    "an empty title": ({"title": " "}, "title"),
    "a long title": ({"title": "x" * 201}, "title"),
    "a NUL in the title": ({"title": "a\x00b"}, "title"),
    "a NUL in the content": ({"title": "x", "content": "a\x00b"}, "content"),
    "a long content": ({"title": "x", "content": "x" * 200_001}, "content"),
    "many tags": ({"title": "x", "tags": ["x"] * 21}, "tags"),
    "a long tag": ({"title": "x", "tags": ["x" * 51]}, "tags"),
    "an empty tag": ({"title": "x", "tags": [""]}, "tags"),
    "a NUL in a tag": ({"title": "x", "tags": ["\x00"]}, "tags"),
    "an unknown field": ({"title": "x", "colour": "red"}, "colour"),
    "tags that are none": ({"title": "x", "tags": "api"}, "tags"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_document_that_is_not_one_is_422_and_names_the_field(client: httpx.Client, case: str) -> None:
    body, field = REFUSED[case]
    assert_problem(client.post(DOCS, json=body), 422, field=field)


def test_other_requests_that_make_no_sense_name_the_field_too(client: httpx.Client) -> None:
    where = f"{DOCS}/{post(client)['documentId']}"
    for change in ({}, {"version": 1}, {"title": None}):
        assert_problem(client.put(where, json=change), 422, field="body")
    for change, field in (({"title": ""}, "title"), ({"title": "x", "version": 0}, "version"), ({"tags": [1]}, "tags")):
        assert_problem(client.put(where, json=change), 422, field=field)
    assert_problem(client.post(f"{where}/comments", json={"text": ""}), 422, field="text")
    assert_problem(client.post("/v1/users", json={"name": "x", "email": "not an address"}), 422, field="email")
    assert_problem(client.get(f"{DOCS}/analytics", params={"days": 0}), 422, field="days")
    assert_problem(client.post(DOCS, content=b"{"), 415)
    assert_problem(client.post(DOCS, content=b"{", headers={"Content-Type": "application/json"}), 422, field="body")
    assert_problem(client.post(DOCS, json={"title": "x", "content": "x" * 300_000}), 413)


def test_the_largest_document_is_taken_indexed_and_shown(client: httpx.Client) -> None:
    word = unique()
    content = " ".join([word, *(f"{number:x}" for number in range(33_000))])[:200_000]
    document = post(client, title="t" * 200, content=content, tags=[f"{number:>050}" for number in range(20)])
    assert wait_until(lambda: found(client, word) == [(document["documentId"], 1)], timeout_s=60)
    assert client.get(f"{DOCS}/{document['documentId']}").json()["content"] == content


def test_who_writes_too_much_waits(client: httpx.Client) -> None:
    for _ in range(RATE):
        post(client)
    assert_problem(client.post(DOCS, json=EXAMPLE), 429)
    assert client.get(DOCS).status_code == 200
