"""Structured logs, metrics and trace headers; nothing here ever holds a secret, a CV or a letter."""

from __future__ import annotations

import contextlib
import logging
import secrets
import sys
import time
from collections.abc import Iterator

import structlog
from prometheus_client import Counter, Gauge, Histogram

from labs.settings import Settings

#: Seconds; from instant answers to the slowest model calls.
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

HTTP_SECONDS = Histogram(
    "lab_http_request_seconds", "Duration of HTTP requests.", ("method", "route", "status"), buckets=_BUCKETS
)
MODEL_SECONDS = Histogram("lab_model_call_seconds", "Duration of model calls.", ("outcome",), buckets=_BUCKETS)
JOB_SECONDS = Histogram("lab_job_seconds", "From the request to the result.", ("system", "status"), buckets=_BUCKETS)
EVENT_SECONDS = Histogram("lab_event_seconds", "From an event to its effect.", ("queue",), buckets=_BUCKETS)
PDF_SECONDS = Histogram("lab_pdf_seconds", "Duration of typesetting.", ("outcome",), buckets=_BUCKETS)
ENHANCEMENTS = Counter("lab_enhancements_total", "Where a resume's description came from.", ("source",))
DELIVERIES = Counter("lab_deliveries_total", "What became of deliveries, and connects.", ("queue", "outcome"))
PUBLISHED = Counter(
    "lab_client_published_total", "What became of messages that RabbitMQClient published.", ("exchange", "outcome")
)
RELAYED = Counter("lab_relay_published_total", "Outbox messages confirmed by the broker.")
RELAY_FAILED = Counter("lab_relay_failed_total", "Outbox messages that have to be published again.")
RECONCILED = Counter("lab_reconciled_total", "Messages published again because their effect was missing.")
DEPENDENCY_UP = Gauge("lab_dependency_up", "Whether a dependency answers.", ("dependency",))


def configure_logging(settings: Settings, *, process: str) -> None:
    """Log to standard error: one JSON object a line, or text; libraries' warnings too."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    last: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if settings.log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[*shared, last],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[settings.log_level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(process=process)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processor=last, foreign_pre_chain=shared))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    # pika logs every lost connection at error level with a traceback; our supervision says it in one line.
    logging.getLogger("pika").setLevel(logging.CRITICAL)
    # uvicorn prints the text of unexpected errors, which may quote a request; labs.service.problems logs them without.
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)


@contextlib.contextmanager
def observed(histogram: Histogram) -> Iterator[None]:
    """Observe how long a block takes, under the outcome `ok` or the name of its error."""
    started = time.perf_counter()
    outcome = "cancelled"
    try:
        yield
        outcome = "ok"
    except Exception as error:
        outcome = type(error).__name__
        raise
    finally:
        histogram.labels(outcome).observe(time.perf_counter() - started)


def new_traceparent() -> str:
    """A W3C trace context header that starts a trace."""
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


def trace_id(traceparent: str | None) -> str | None:
    """The trace id within a trace context header, if it is one."""
    parts = (traceparent or "").split("-")
    return parts[1] if len(parts) == 4 and len(parts[1]) == 32 else None
