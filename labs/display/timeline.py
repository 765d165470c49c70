"""The way of one job as a picture: a lane for each part of the system, a stop for each step, time running down."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from labs.display.palette import BLUE, FAINT, GREEN, ORANGE, PURPLE, RULE, SERIES, SKY, VERMILION
from labs.display.picture import Drawing, Picture, text_width

_ROW = 30.0
_LANE = 96.0
_HEAD = 52.0
_TIMES = 120.0

#: The lanes that the lab knows, from left to right.
_COLOURS = {
    "api": SKY,
    "database": BLUE,
    "exchange": PURPLE,
    "queue": ORANGE,
    "worker": GREEN,
    "model": VERMILION,
}


@dataclass(frozen=True)
class Stop:
    """One thing that happened: when, in which lane, what, and where exactly."""

    at: datetime
    lane: str
    what: str
    where: str = ""


def way(stops: Sequence[Stop], *, title: str) -> Picture:
    """Draw the stops in the order given; lanes the lab doesn't know stand at the right."""
    visited = dict.fromkeys(stop.lane for stop in stops)
    lanes = [*(lane for lane in _COLOURS if lane in visited), *(lane for lane in visited if lane not in _COLOURS)]
    left = {lane: _TIMES + _LANE * (number + 0.5) for number, lane in enumerate(lanes)}
    words = _TIMES + _LANE * len(lanes) + 16
    bottom = _HEAD + _ROW * len(stops)
    drawing = Drawing()
    drawing.text((0, 12), title, size=15, weight="bold")
    drawing.text((44, 38), "ms", size=11, colour=FAINT, anchor="end")
    drawing.text((100, 38), "since last", size=11, colour=FAINT, anchor="end")
    for lane in lanes:
        drawing.text((left[lane], 38), lane, weight="bold", anchor="middle")
        drawing.line((left[lane], _HEAD - 6), (left[lane], bottom), colour=RULE, width=1.5)
    points = [(left[stop.lane], _HEAD + _ROW * (row + 0.4)) for row, stop in enumerate(stops)]
    for start, end in itertools.pairwise(points):
        drawing.line(start, end, colour=FAINT, width=1.6)
    for row, (stop, point) in enumerate(zip(stops, points, strict=True)):
        since_start, since_last = _elapsed_ms(stops, row)
        baseline = point[1] + 4
        drawing.text((44, baseline), f"{since_start:.0f}", anchor="end")
        drawing.text((100, baseline), f"+{since_last:.1f}", colour=FAINT, anchor="end")
        drawing.circle(point, 6, fill=_COLOURS.get(stop.lane, SERIES[lanes.index(stop.lane) % len(SERIES)]))
        drawing.text((words, baseline), stop.what)
        if stop.where:
            drawing.text((words, baseline + 12), stop.where, size=10, colour=FAINT)
    widest = max(max(text_width(stop.what), text_width(stop.where, size=10)) for stop in stops)
    return Picture(drawing.svg(words + widest, bottom, title=title), _in_words(stops, title))


def _elapsed_ms(stops: Sequence[Stop], row: int) -> tuple[float, float]:
    """Milliseconds since the first stop, and since the one before."""
    at = stops[row].at
    return _ms(stops[0].at, at), _ms(stops[max(0, row - 1)].at, at)


def _ms(start: datetime, end: datetime) -> float:
    return (end - start).total_seconds() * 1000


def _in_words(stops: Sequence[Stop], title: str) -> str:
    lines = [title]
    for row, stop in enumerate(stops):
        since_start, since_last = _elapsed_ms(stops, row)
        lines.append(f"{since_start:7.0f} ms  +{since_last:8.1f}  {stop.lane:<9} {stop.what}")
    return "\n".join(lines)
