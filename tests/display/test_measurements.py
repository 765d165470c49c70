"""Charts of measurements and lanes of events: each a picture, each with its numbers in words."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from labs.display import Chart, Mark, Stretch, bars, dots, grid, lines, panels, percentiles, source, tracks

PNG = b"\x89PNG\r\n\x1a\n"


def words(chart: Chart) -> list[str]:
    assert chart.png.startswith(PNG)
    return chart.text.splitlines()


def test_bars_say_each_length() -> None:
    assert words(bars({"worker 1": 12, "worker 2": 4000.4}, title="Who did what", unit="tasks")) == [
        "Who did what",
        "worker 1: 12 tasks",
        "worker 2: 4,000 tasks",
    ]


def test_grouped_bars_say_each_series_also_where_one_is_missing() -> None:
    told = words(bars({"one": {"long": 3, "short": 1}, "other": {"short": 2}}, title="t", unit="tasks"))
    assert told[1:] == ["one: long 3, short 1 tasks", "other: short 2 tasks"]


def test_lines_say_each_point() -> None:
    chart = lines({"fast": [(1, 100), (10, 900)]}, title="t", x="prefetch", y="messages a second", log_x=True)
    assert words(chart)[1:] == ["messages a second over prefetch", "fast: 1: 100, 10: 900"]


def test_percentiles_are_read_no_further_than_there_are_samples() -> None:
    told = words(percentiles({"few": [1.0, 2.0, 3.0, 4.0], "many": list(range(1, 1001))}, title="t"))
    assert told[1] == "few: 4 samples, p0 1, p50 3, p75 4 ms"
    assert told[2].endswith("p99 991, p99.5 996, p99.9 1,000 ms")


@pytest.mark.parametrize("samples", [[], [5.0]])
def test_percentiles_of_few_or_no_samples_are_no_error(samples: list[float]) -> None:
    assert words(percentiles({"a": samples}, title="t"))[1].startswith(f"a: {len(samples)} samples")


def test_panels_say_where_each_series_peaks_and_what_was_broken() -> None:
    chart = panels({"ready": [(0, 0), (1, 7), (2, 1)]}, title="t", shades={"no broker": (0.5, 1.5)})
    assert words(chart) == ["t", "no broker: 0.5 to 1.5 s", "ready: from 0 to 1, most 7 at 1.0 s"]


def test_dots_say_how_many_there_are_and_where_the_highest_is() -> None:
    chart = dots({"open": [(0, 1), (1, 990), (2, 3)], "none": []}, title="t", x="seconds", y="ms", shades={"a": (1, 2)})
    assert words(chart) == ["t", "open: 3 dots, the highest 990 at 1.00 (ms)", "none: none"]


def test_tracks_say_what_happened_in_each_lane() -> None:
    lanes = {"queue": [Stretch(0, 1.5, "waiting", "1 s")], "worker": [Mark(1.5, "failed")], "idle": []}
    assert words(tracks(lanes, title="t", shades={"down": (0.2, 0.4)})) == [
        "t",
        "down: 0.20 to 0.40 s",
        "queue",
        "      0.00 to   1.50 s  waiting  1 s",
        "worker",
        "      1.50 s  failed",
        "idle",
    ]


def test_tracks_in_milliseconds_say_so() -> None:
    chart = tracks({"queue": [Stretch(0, 1.5, "waiting")]}, title="t", x="milliseconds since the publish")
    assert words(chart)[-1] == "      0.00 to   1.50 ms  waiting"


def test_the_same_lanes_give_the_same_bytes() -> None:
    lanes = {"queue": [Stretch(0, 1.5, "waiting")]}
    assert tracks(lanes, title="t").png == tracks(lanes, title="t").png


def test_a_grid_is_a_picture_and_a_table_of_words() -> None:
    cells = {("direct", "a.b"): "yes", ("topic", "a.b"): "yes", ("topic", "a"): "<no>"}
    drawn = grid(["direct", "topic"], ["a", "a.b"], cells, title="Who gets it & why", tones={"yes": "good"})
    svg = ElementTree.fromstring(drawn.svg)
    assert [text.text for text in svg.iter("{http://www.w3.org/2000/svg}text")].count("yes") == 2
    assert str(drawn).splitlines() == [
        "Who gets it & why",
        "        a     a.b",
        "direct        yes",
        "topic   <no>  yes",
    ]


def test_source_shows_code_as_it_stands() -> None:
    shown = source(words)
    assert str(shown).startswith("def words(chart: Chart)")
    assert shown._repr_mimebundle_()["text/markdown"] == f"```python\n{shown}\n```"
