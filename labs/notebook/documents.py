"""A client of the document API, for the experiments of chapter 15."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from typing import Any

import httpx

from labs.notebook.session import Notebook

_TIMEOUT_S = 60.0
_TRIES = 20


class Documents:
    """What one user does with documents.

    Args:
        lab: whose API.
        user: his name.
    """

    def __init__(self, lab: Notebook, user: str = "user123") -> None:
        self.user = user
        self._http = httpx.Client(
            base_url=f"{lab.stack.api_url}/v1",
            headers={"Authorization": f"Bearer {lab.stack.token(user_id=user)}"},
            timeout=_TIMEOUT_S,
            trust_env=False,
        )

    def create(self, title: str, *, content: str = "", tags: Sequence[str] = ()) -> dict[str, Any]:
        """A new document."""
        return self._asked("POST", "/docs", json={"title": title, "content": content, "tags": list(tags)})

    def change(self, document: dict[str, Any], **changes: Any) -> dict[str, Any]:
        """A new version of a document."""
        return self._asked("PUT", f"/docs/{document['documentId']}", json=changes)

    def comment(self, document: dict[str, Any], text: str) -> dict[str, Any]:
        """A comment on anybody's document."""
        return self._asked("POST", f"/docs/{document['documentId']}/comments", json={"text": text})

    def find(self, words: str) -> list[dict[str, Any]]:
        """What the search index finds."""
        found: list[dict[str, Any]] = self._asked("GET", "/docs/search", params={"q": words})["documents"]
        return found

    def told(self) -> list[str]:
        """What this user is told, oldest first."""
        notifications = self._asked("GET", "/notifications", params={"limit": 100})["notifications"]
        return [notification["text"] for notification in reversed(notifications)]

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def _asked(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        """Ask as a good client does: with a key, and again while the service says that a part of it is away."""
        key = {"Idempotency-Key": str(uuid.uuid4())}
        for _ in range(_TRIES):
            response = self._http.request(method, path, headers=key, **options)
            if response.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                break
            time.sleep(1)
        answer: dict[str, Any] = response.raise_for_status().json()
        return answer
