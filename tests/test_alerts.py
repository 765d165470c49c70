"""The alert rules ask for metrics that there are, with labels that they have."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY

from labs.service import watching
from labs.settings import ROOT, load_settings
from labs.systems.registry import dead_letter_queues, topology

RULES: list[dict[str, Any]] = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text(encoding="utf-8"))[
    "groups"
][0]["rules"]
#: Of RabbitMQ's plugin, per object; see its list of metrics.
BROKERS = {"rabbitmq_queue_messages_ready": {"queue"}, "rabbitmq_queue_consumers": {"queue"}}


def labels_of_ours() -> dict[str, set[str]]:
    """Every metric of the lab, with its labels."""
    assert watching.JOBS  # imported for the metrics that it registers
    found: dict[str, set[str]] = {}
    for collector in REGISTRY._collector_to_names:
        names = getattr(collector, "_labelnames", ())
        for name in REGISTRY._collector_to_names[collector]:
            found[name] = set(names) | ({"le"} if name.endswith("_bucket") else set())
    return found


def asked(expression: str) -> Iterator[tuple[str, set[str]]]:
    """Metrics of an expression, and the labels that their selectors use."""
    for name, selector in re.findall(r"\b((?:lab|rabbitmq)_\w+)(?:\{([^}]*)\})?", expression):
        yield name, set(re.findall(r"(\w+)\s*[=!]~?", re.sub(r'"[^"]*"', '""', selector)))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_every_metric_of_a_rule_exists(rule: dict[str, Any]) -> None:
    known = {**labels_of_ours(), **BROKERS}
    metrics = list(asked(rule["expr"]))
    assert metrics
    for name, labels in metrics:
        assert labels <= known[name], name
    grouped = {label for group in re.findall(r"by \(([^)]*)\)", rule["expr"]) for label in group.split(", ")}
    told = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
    assert grouped | told <= set().union(*(known[name] for name, _ in metrics))
    assert rule["annotations"]["do"]


def test_a_work_queue_is_told_from_its_retry_and_dead_letter_queues() -> None:
    settings = load_settings()
    [excluded] = {match for rule in RULES for match in re.findall(r'queue!~"([^"]+)"', rule["expr"])}
    [dead] = re.findall(r'queue=~"([^"]+)"', next(rule["expr"] for rule in RULES if rule["alert"] == "DeadLetters"))
    letters = dead_letter_queues(settings)
    queues = {queue.name for queue in topology(settings).queues}
    watched = {name for name in queues if not re.fullmatch(_unescaped(excluded), name)}
    assert watched == set(letters)
    assert all(re.fullmatch(_unescaped(dead), name) for name in letters.values())


def _unescaped(text: str) -> str:
    """A string of PromQL, as it is meant."""
    return text.replace("\\\\", "\\")
