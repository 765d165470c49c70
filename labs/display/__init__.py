"""Pictures for notebooks, each with a form in plain text: topology, the way of a job, charts and tables."""

from labs.display.charts import Chart, Span, job_timelines, spread
from labs.display.picture import Picture
from labs.display.table import Table
from labs.display.timeline import Stop, way
from labs.display.topology import Snapshot, draw, snapshot, topology

__all__ = [
    "Chart",
    "Picture",
    "Snapshot",
    "Span",
    "Stop",
    "Table",
    "draw",
    "job_timelines",
    "snapshot",
    "spread",
    "topology",
    "way",
]
