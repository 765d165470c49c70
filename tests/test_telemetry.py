"""Logs that machines can read and that quote nobody, and trace headers."""

from __future__ import annotations

import json
import subprocess
import sys

from labs.settings import ROOT
from labs.telemetry import new_traceparent, trace_id

#: What the lab and its libraries log in the course of a bad day.
SCRIPT = """
import logging, sys
import structlog
from labs.settings import load_settings
from labs.telemetry import configure_logging
configure_logging(load_settings(log_format=sys.argv[1], log_level=sys.argv[2]), process="worker")
log = structlog.get_logger()
log.debug("fine detail")
log.info("consuming", queue="q")
log.warning("dead-lettered", reason="no")
logging.getLogger("some.library").warning("of a library")
logging.getLogger("some.library").info("chatter")
logging.getLogger("pika.connection").error("ConnectionClosed with a traceback")
try:
    raise ValueError("Ada Lovelace")
except ValueError:
    logging.getLogger("uvicorn.error").exception("Exception in ASGI application")
"""


def logged(form: str = "json", level: str = "INFO") -> list[str]:
    command = [sys.executable, "-c", SCRIPT, form, level]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout == ""
    return done.stderr.splitlines()


def test_every_line_is_one_json_object_with_time_level_and_process() -> None:
    lines = [json.loads(line) for line in logged()]
    assert [line["event"] for line in lines] == ["consuming", "dead-lettered", "of a library"]
    assert [line["level"] for line in lines] == ["info", "warning", "warning"]
    assert {line["process"] for line in lines} == {"worker"}
    assert all(line["timestamp"].endswith("Z") for line in lines)
    assert lines[0]["queue"] == "q"


def test_the_level_says_what_is_logged() -> None:
    assert "fine detail" in logged(level="DEBUG")[0]
    assert [json.loads(line)["event"] for line in logged(level="WARNING")] == ["dead-lettered", "of a library"]


def test_text_is_for_people_and_has_no_colours_in_a_file() -> None:
    lines = logged("text")
    assert "consuming" in lines[0]
    assert "queue=q" in lines[0]
    assert "\x1b" not in "".join(lines)


def test_servers_that_print_the_texts_of_errors_are_silent() -> None:
    for form in ("json", "text"):
        output = "\n".join(logged(form))
        assert "Lovelace" not in output
        assert "ConnectionClosed" not in output


def test_trace_headers_start_a_trace_of_their_own() -> None:
    one, two = new_traceparent(), new_traceparent()
    first = trace_id(one)
    assert first is not None
    assert (len(first), one.split("-")[0], one.split("-")[3]) == (32, "00", "01")
    assert trace_id(two) != first


def test_what_is_no_trace_header_has_no_trace() -> None:
    assert [trace_id(text) for text in (None, "", "x", "00-short-b-01")] == [None] * 4
