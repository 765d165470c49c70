"""Turning the stub model's dials and reading its ledger from tests and notebooks."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import httpx

from labs.errors import ConfigurationError, ModelUnavailable
from labs.llm.dials import Dials, ErrorRates, Latency
from labs.llm.ledger import Page, Summary
from labs.tls import tls_for


class StubModel:
    """A running stub model, seen from outside. Synchronous; close it or use it as a context manager.

    Every method raises `ModelUnavailable` if no stub answers there, and `ConfigurationError` if it refuses.
    """

    def __init__(self, base_url: str, *, timeout_s: float = 10.0) -> None:
        """`base_url` is the stub's address, with or without the `/v1` that model clients add."""
        self.base_url = base_url.rstrip("/").removesuffix("/v1")
        self._http = httpx.Client(
            base_url=self.base_url, timeout=timeout_s, verify=tls_for(self.base_url), trust_env=False
        )

    def dials(self) -> Dials:
        """The dials as they stand."""
        return Dials.model_validate_json(self._call("GET", "/dials"))

    def set_dials(
        self,
        dials: Dials | None = None,
        *,
        latency: Latency | None = None,
        errors: ErrorRates | None = None,
        seed: int | None = None,
        retry_after_s: float | None = None,
        token_interval_ms: float | None = None,
        drip_interval_ms: float | None = None,
        hold_s: float | None = None,
    ) -> Dials:
        """Set all dials at once, or only those that are named; the seeded sequence starts over."""
        if dials is not None:
            return Dials.model_validate_json(self._call("PUT", "/dials", body=dials.model_dump_json()))
        named = {
            "latency": latency,
            "errors": errors,
            "seed": seed,
            "retry_after_s": retry_after_s,
            "token_interval_ms": token_interval_ms,
            "drip_interval_ms": drip_interval_ms,
            "hold_s": hold_s,
        }
        changes = Dials.model_construct(**{k: v for k, v in named.items() if v is not None})  # type: ignore[arg-type]
        body = changes.model_dump_json(include={name for name, value in named.items() if value is not None})
        return Dials.model_validate_json(self._call("PATCH", "/dials", body=body))

    def reset(self) -> None:
        """Back to the dials the stub started with, and an empty ledger."""
        self._call("DELETE", "/dials")
        self._call("DELETE", "/ledger")

    def ledger(self, *, request_id: str | None = None, outcome: str | None = None, limit: int = 1000) -> Page:
        """The newest calls that match, oldest first, with the totals."""
        query = {"request_id": request_id, "outcome": outcome, "limit": str(limit)}
        params = {name: value for name, value in query.items() if value is not None}
        return Page.model_validate_json(self._call("GET", "/ledger", params=params))

    def summary(self) -> Summary:
        """The totals."""
        return Summary.model_validate_json(self._call("GET", "/ledger/summary"))

    def close(self) -> None:
        """Close the connection to the stub; the stub runs on."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _call(self, method: str, path: str, *, params: dict[str, str] | None = None, body: str | None = None) -> bytes:
        try:
            response = self._http.request(method, path, params=params, content=body)
        except httpx.HTTPError as error:
            raise ModelUnavailable(
                f"no stub model answers at {self.base_url} ({type(error).__name__}): start `python -m labs stub`"
            ) from error
        if response.is_error:
            raise ConfigurationError(f"the stub model refused {method} {path}: {response.text}")
        return response.content
