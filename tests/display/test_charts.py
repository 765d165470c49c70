"""Charts, tables and the way of a job: each shows as a picture and reads as text."""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree

from labs.display import Span, Stop, Table, job_timelines, spread, way

PNG = b"\x89PNG\r\n\x1a\n"


def size_px(png: bytes) -> tuple[int, int]:
    width, height = struct.unpack(">II", png[16:24])
    return width, height


def test_a_spread_gives_a_picture_and_its_numbers_in_words() -> None:
    chart = spread({"old": [900.0, 1000.0, 1100.0], "new": [9.0, 10.0, 12.0]}, title="New is faster", limit=500)
    data, metadata = chart._repr_mimebundle_()
    assert chart.png.startswith(PNG)
    assert data["image/png"] == chart.png
    assert metadata["image/png"]["width"] < size_px(chart.png)[0], "sharp on dense screens"
    assert str(chart).splitlines() == [
        "New is faster",
        "old: 3 samples, least 900, median 1,000, most 1,100 ms",
        "new: 3 samples, least 9, median 10, most 12 ms",
    ]


def test_a_series_without_samples_keeps_its_row() -> None:
    assert "none: no samples" in spread({"some": [1.0], "none": []}, title="t").text


def test_the_same_samples_give_the_same_bytes() -> None:
    samples = {"a": [1.0, 2.0, 3.0]}
    assert spread(samples, title="t").png == spread(samples, title="t").png


def test_job_timelines_grow_with_the_jobs_and_read_as_text() -> None:
    life = [
        Span("pending", 0.0, 0.1),
        Span("processing", 0.1, 0.5, "attempt 1"),
        Span("waiting", 0.5, 0.7),
        Span("in the dead-letter queue", 0.7, 0.9),
        Span("held by the dead", 0.9, 1.0),
        Span("completed", 1.0, 1.0),
    ]
    one = job_timelines({"job 1": life}, title="One")
    many = job_timelines({f"job {number}": life for number in range(40)}, title="Many", notes=False)
    assert size_px(many.png)[1] > size_px(one.png)[1]
    assert one.text.splitlines()[3] == "      0.10 to   0.50 s  processing attempt 1"


def test_a_table_shows_as_html_and_reads_in_columns() -> None:
    table = Table("what", "ms", rows=[("<a> & b", 5), ("c", 12345)], right=("ms",))
    bundle = table._repr_mimebundle_()
    assert '<td align="left" style="text-align: left">&lt;a&gt; &amp; b</td>' in bundle["text/html"]
    assert bundle["text/plain"].splitlines() == ["what        ms", "-------  -----", "<a> & b      5", "c        12345"]


def test_the_way_of_a_job_has_a_lane_for_each_part_and_a_time_for_each_stop() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    stops = [
        Stop(start, "database", "committed <here>"),
        Stop(start + timedelta(milliseconds=7), "queue", "delivered", "queue jobs"),
        Stop(start + timedelta(milliseconds=1007), "elsewhere", "done"),
    ]
    picture = way(stops, title="One job")
    ElementTree.fromstring(picture.svg)
    assert picture.text.splitlines()[2] == "      7 ms  +     7.0  queue     delivered"
    for words in ("database", "queue jobs", "elsewhere", "1007", "+1000.0"):
        assert words in picture.svg
