"""What the HTTP routes take, and the lists that they give."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field, model_validator

from labs.systems.documents.records import COMMENT, DAY, INDEXED, LISTED, WRITTEN, Comment, Day, Listed
from labs.systems.fields import example, text
from labs.systems.paging import Page
from labs.systems.search import Indexed

Title = Annotated[str, text(200)]
Content = Annotated[str, text(200_000, least=0)]
Tags = Annotated[
    list[Annotated[str, text(50)]], Field(max_length=20), AfterValidator(lambda tags: list(dict.fromkeys(tags)))
]


class CreateRequest(BaseModel):
    """A new document."""

    model_config = example(WRITTEN)

    title: Title
    content: Content = ""
    tags: Tags = []


class ChangeRequest(BaseModel):
    """What is to be otherwise; the rest stays as it is."""

    model_config = example({"content": "Updated content...", "version": 1})

    title: Title | None = None
    content: Content | None = None
    tags: Tags | None = None
    version: int | None = Field(None, ge=1, le=2**31 - 1, description="409 if the document has another one by now.")

    @model_validator(mode="after")
    def _something(self) -> ChangeRequest:
        if not self.changes():
            raise ValueError("give at least one of title, content and tags")
        return self

    def changes(self) -> dict[str, Any]:
        """The fields to change."""
        return self.model_dump(include={"title", "content", "tags"}, exclude_none=True)


class CommentRequest(BaseModel):
    """A comment."""

    model_config = example({"text": "Well said."})

    text: Annotated[str, text(5000)]


class DocumentPage(Page):
    """Documents, newest first."""

    model_config = example({"documents": [LISTED]})

    documents: list[Listed]


class SearchResult(BaseModel):
    """Documents that match, best first."""

    model_config = example({"documents": [INDEXED]})

    documents: list[Indexed]


class CommentPage(Page):
    """Comments, newest first."""

    model_config = example({"comments": [COMMENT]})

    comments: list[Comment]


class Analytics(BaseModel):
    """Days on which something happened, newest first."""

    model_config = example({"days": [DAY]})

    days: list[Day]
