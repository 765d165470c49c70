"""A tab "Broker" in Locust's web page: rates, backlog, the four latency histograms and the verdict, while they happen.

Its data are at `broker/data`, its page alone at `broker`; both behind Locust's own login if there is one.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from flask import Blueprint, Response, jsonify, request, send_file
from locust.web import WebUI

from loadtest.board import Board
from loadtest.engine.histogram import Histogram
from loadtest.standing import Standing, together

_PAGE = Path(__file__).with_name("broker_tab.html")
_SCRIPT = Path(__file__).with_name("broker_tab.js")
_QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999, "p99.99": 0.9999}
#: Bars for each tenfold of a histogram, whose range is from a microsecond to a bit over a quarter of an hour.
_BARS, _FIRST, _LAST = 10, -3, 6


def add(web_ui: WebUI, board: Board, *, base_path: str) -> None:
    """Add the tab to a page that has not been started.

    Args:
        web_ui: Locust's.
        board: what the tab shows.
        base_path: `--web-base-path`.
    """
    web_ui.template_args["extended_tabs"] = [{"title": "Broker", "key": "broker"}]
    assert web_ui.app is not None
    web_ui.app.register_blueprint(_blueprint(web_ui, board), url_prefix=f"{base_path}/broker")
    index = f"{base_path}/"

    def with_script(response: Response) -> Response:
        if request.path == index and response.mimetype == "text/html":
            page = response.get_data(as_text=True)
            response.set_data(page.replace("</body>", '<script src="./broker/tab.js"></script></body>'))
        return response

    web_ui.app.after_request(with_script)


def _blueprint(web_ui: WebUI, board: Board) -> Blueprint:
    made = Blueprint("broker", __name__)
    guarded: Any = web_ui.auth_required_if_enabled
    made.add_url_rule("", "page", guarded(lambda: send_file(_PAGE)))
    made.add_url_rule("/tab.js", "script", guarded(lambda: send_file(_SCRIPT)))
    made.add_url_rule("/data", "data", guarded(lambda: jsonify(shown(board))))
    return made


def shown(board: Board) -> dict[str, Any]:
    """All that the tab shows: the whole, each scenario, and how it came to this."""
    series = list(board.series)[-600:]
    return {
        "total": _shown(together(board.standings())),
        "scenarios": [_shown(each) for each in board.by_scenario().values()],
        "series": {
            "at_s": [at_s for at_s, _ in series],
            "offered": [each.per_s["due"] for _, each in series],
            "achieved": [each.per_s["sent"] for _, each in series],
            "received": [each.per_s["received"] for _, each in series],
            "backlog": [each.backlog for _, each in series],
        },
    }


def _shown(standing: Standing) -> dict[str, Any]:
    by, why = standing.limit
    return {
        "scenario": standing.scenario,
        "counts": standing.counts,
        "per_s": standing.per_s,
        "backlog": standing.backlog,
        "busy": standing.busy,
        "is_over": standing.is_over,
        "limit": {"by": by, "why": why},
        "latencies": {name: _latency(each) for name, each in standing.latencies.items()},
    }


def _latency(histogram: Histogram) -> dict[str, Any]:
    """In ms; nothing is null where there is no value."""
    middles_ms, counts = histogram.edges_ms()
    edges = np.linspace(_FIRST, _LAST, (_LAST - _FIRST) * _BARS + 1)
    logarithms = np.clip(np.log10(np.maximum(middles_ms, 1e-9)), _FIRST, _LAST)
    bars, _ = np.histogram(logarithms, edges, weights=counts)
    quantiles = {name: histogram.quantile_ms(share) for name, share in _QUANTILES.items()}
    figures = {**quantiles, "mean": histogram.mean_ms, "max": histogram.most_ns / 1e6 if histogram.count else math.nan}
    return {
        "count": histogram.count,
        **{name: value if math.isfinite(value) else None for name, value in figures.items()},
        "first_ms": (10.0 ** edges[:-1]).tolist(),
        "bars": bars.astype(int).tolist(),
    }
