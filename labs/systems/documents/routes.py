"""The HTTP routes of the document system: what is answered is committed, and its event goes out even if all restarts.

Everybody who is signed in may read every document, comment on it and find it; its owner alone may change it.
"""

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Response

from labs.store.outbox import OUTBOX_HINT
from labs.store.requests import Repeatable
from labs.systems.documents import views
from labs.systems.documents.analytics import Activity
from labs.systems.documents.comments import Comments
from labs.systems.documents.documents import Documents
from labs.systems.documents.events import registered
from labs.systems.documents.records import EXAMPLE_ID, Comment, Document, place
from labs.systems.fields import ETAG, IdempotencyKey, IfMatch, expected_versions, location
from labs.systems.notifications import notification_routes
from labs.systems.paging import Cursor, Limit, page
from labs.systems.problem import documented
from labs.systems.registration import registration_routes
from labs.systems.search import Search
from labs.systems.system import ApiParts
from labs.systems.user import NamedUser

PREFIX = "/v1/docs"

_DocumentId = Annotated[str, Path(max_length=255, pattern="^[!-~]+$", examples=[EXAMPLE_ID])]
_Words = Annotated[str, Query(min_length=1, max_length=200, pattern=r"^[^\x00]*$", examples=["api -draft"])]
_DETAILS = {
    403: "only its owner may change a document",
    404: f"there is no document {EXAMPLE_ID}",
    409: f"document {EXAMPLE_ID} has version 3: read it again",
    412: f"document {EXAMPLE_ID} has version 3: read it again",
}
_writes = partial(documented, 401, 403, 413, 415, 422, 429, 503, details=_DETAILS)
_reads = partial(documented, 401, 403, 422, 503, details=_DETAILS)


def routes(parts: ApiParts) -> list[APIRouter]:
    """What may be done with documents; and users, and what they are told."""
    router = APIRouter(prefix=PREFIX, tags=["documents"], dependencies=[Depends(parts.named_reader)])
    _add_lists(router, parts)
    _add_documents(router, parts, Documents(parts.database))
    _add_comments(router, parts, Comments(parts.database))
    return [router, notification_routes(parts, "/v1"), registration_routes(parts, "/v1", registered)]


def _add_lists(router: APIRouter, parts: ApiParts) -> None:
    reader = Annotated[NamedUser, Depends(parts.named_reader)]
    documents, index, activity = Documents(parts.database), Search(parts.database), Activity(parts.database)

    @router.get("", summary="Your documents, newest first", response_model_exclude_none=True, responses=_reads())
    async def own(user: reader, limit: Limit = 20, cursor: Cursor = None) -> views.DocumentPage:
        newest = partial(documents.newest, user_id=user.id)
        found, after = await page(newest, place, limit=limit, cursor=cursor)
        return views.DocumentPage(documents=found, nextCursor=after)

    @router.get("/search", summary="Find documents", responses=_reads())
    async def search(q: _Words, limit: Limit = 20) -> views.SearchResult:
        """Among everybody's, best first. A change is found once its event has been handled."""
        return views.SearchResult(documents=await index.find(q, limit=limit))

    @router.get("/analytics", summary="How much happened on which day", responses=_reads())
    async def analytics(days: Annotated[int, Query(ge=1, le=366)] = 30) -> views.Analytics:
        """Of the last so many days, in UTC, for all users together."""
        return views.Analytics(days=await activity.days(days))


def _add_documents(router: APIRouter, parts: ApiParts, documents: Documents) -> None:
    requester = Annotated[NamedUser, Depends(parts.named_requester)]
    created: dict[int | str, dict[str, Any]] = {
        201: {"description": "Committed", "headers": location("the document") | ETAG}
    }
    shown: dict[int | str, dict[str, Any]] = {200: {"headers": ETAG}}

    def answered(document: Document, response: Response) -> Document:
        response.headers["ETag"] = f'"{document.version}"'
        return document

    @router.post("", status_code=201, summary="Create a document", responses=created | _writes())
    async def create(
        request: views.CreateRequest, response: Response, user: requester, idempotency_key: IdempotencyKey = None
    ) -> Document:
        """Committed with its event: it will be found, counted and told of, also if the broker is away just now."""
        asked = Repeatable(user.id, idempotency_key, "create a document", request)
        document = await documents.create(asked, **request.model_dump())
        parts.ringer.ring(OUTBOX_HINT)
        response.headers["Location"] = f"{PREFIX}/{document.document_id}"
        return answered(document, response)

    @router.get("/{documentId}", summary="A document", responses=shown | _reads(404))
    async def read(documentId: _DocumentId, response: Response) -> Document:
        """Anybody's."""
        return answered(await documents.get(documentId), response)

    @router.put("/{documentId}", summary="Change a document", responses=shown | _writes(404, 409, 412))
    async def change(
        documentId: _DocumentId,
        request: views.ChangeRequest,
        response: Response,
        user: requester,
        if_match: IfMatch = None,
    ) -> Document:
        """What is given is replaced, the rest stays. A change is a new version; what changes nothing makes none.

        To change only what you have seen, send its version, in the body or as `If-Match`.
        """
        expected = expected_versions(if_match, request.version)
        document = await documents.change(documentId, request.changes(), user_id=user.id, expected=expected)
        parts.ringer.ring(OUTBOX_HINT)
        return answered(document, response)


def _add_comments(router: APIRouter, parts: ApiParts, table: Comments) -> None:
    requester = Annotated[NamedUser, Depends(parts.named_requester)]

    @router.post("/{documentId}/comments", status_code=201, summary="Comment on a document", responses=_writes(404))
    async def comment(
        documentId: _DocumentId, request: views.CommentRequest, user: requester, idempotency_key: IdempotencyKey = None
    ) -> Comment:
        """On anybody's; its owner is told."""
        asked = Repeatable(user.id, idempotency_key, f"comment on {documentId}", request)
        made = await table.create(documentId, request.text, asked)
        parts.ringer.ring(OUTBOX_HINT)
        return made

    @router.get(
        "/{documentId}/comments",
        summary="A document's comments, newest first",
        response_model_exclude_none=True,
        responses=_reads(404),
    )
    async def comments(documentId: _DocumentId, limit: Limit = 20, cursor: Cursor = None) -> views.CommentPage:
        newest = partial(table.newest, document_id=documentId)
        found, after = await page(newest, place, limit=limit, cursor=cursor)
        return views.CommentPage(comments=found, nextCursor=after)
