"""Pictures for notebooks, each with a form in plain text: topology, timelines, charts, grids, tables and code."""

from labs.display.chart import Chart
from labs.display.charts import bars, lines, panels, percentiles, spread
from labs.display.dots import dots
from labs.display.grid import grid
from labs.display.picture import Picture
from labs.display.source import Source, source
from labs.display.spans import Span, job_timelines
from labs.display.table import Table
from labs.display.timeline import Stop, way
from labs.display.topology import Snapshot, draw, snapshot, topology
from labs.display.tracks import Mark, Stretch, tracks

__all__ = [
    "Chart",
    "Mark",
    "Picture",
    "Snapshot",
    "Source",
    "Span",
    "Stop",
    "Stretch",
    "Table",
    "bars",
    "dots",
    "draw",
    "grid",
    "job_timelines",
    "lines",
    "panels",
    "percentiles",
    "snapshot",
    "source",
    "spread",
    "topology",
    "tracks",
    "way",
]
