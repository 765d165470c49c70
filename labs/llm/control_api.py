"""The stub model's own routes: its dials, its ledger, its health. None of them touches a model call under way."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from labs.llm import chat
from labs.llm.dials import Dials
from labs.llm.http_server import Request
from labs.llm.ledger import CAPACITY, Ledger
from labs.llm.model import Model

Answer = tuple[int, bytes]

_OBJECT: TypeAdapter[dict[str, object]] = TypeAdapter(dict[str, object])


class _LedgerQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    request_id: str | None = None
    outcome: str | None = None
    limit: int = Field(default=1000, ge=1, le=CAPACITY)


class ControlApi:
    """Everything but the model call."""

    def __init__(self, model: Model, *, ledger: Ledger, initial: Dials) -> None:
        self._model = model
        self._ledger = ledger
        self._initial = initial
        self._routes: dict[str, dict[str, Callable[[Request], Answer]]] = {
            "/healthz": {"GET": lambda _: (200, b'{"status":"ok"}')},
            "/v1/models": {"GET": lambda _: (200, chat.models("stub"))},
            "/dials": {"GET": self._get, "PUT": self._put, "PATCH": self._patch, "DELETE": self._reset},
            "/ledger": {"GET": self._page, "DELETE": self._clear},
            "/ledger/summary": {"GET": lambda _: (200, ledger.summary().model_dump_json().encode())},
        }

    def answer(self, request: Request) -> Answer:
        """Status and JSON body."""
        methods = self._routes.get(request.path)
        if methods is None:
            known = ", ".join(["/v1/chat/completions", *self._routes])
            return 404, chat.error(f"nothing is at {request.path}; there is {known}", kind="invalid_request_error")
        handle = methods.get(request.method)
        if handle is None:
            message = f"{request.path} takes {', '.join(methods)}, not {request.method}"
            return 405, chat.error(message, kind="invalid_request_error")
        try:
            return handle(request)
        except ValidationError as problem:
            return 422, chat.invalid(problem)

    def _get(self, _: Request) -> Answer:
        return 200, self._model.dials.model_dump_json().encode()

    def _put(self, request: Request) -> Answer:
        self._model.dials = Dials.model_validate_json(request.body)
        return self._get(request)

    def _patch(self, request: Request) -> Answer:
        changes = _OBJECT.validate_json(request.body)
        self._model.dials = Dials.model_validate(self._model.dials.model_dump() | changes)
        return self._get(request)

    def _reset(self, request: Request) -> Answer:
        self._model.dials = self._initial
        return self._get(request)

    def _page(self, request: Request) -> Answer:
        query = _LedgerQuery.model_validate(request.query)
        page = self._ledger.page(request_id=query.request_id, outcome=query.outcome, limit=query.limit)
        return 200, page.model_dump_json().encode()

    def _clear(self, _: Request) -> Answer:
        self._ledger.clear()
        return 200, self._ledger.summary().model_dump_json().encode()
