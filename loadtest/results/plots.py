"""Pictures of runs in the house's style, under one roof."""

from loadtest.results.capacity_curve import plot_capacity
from loadtest.results.compared import plot_compare
from loadtest.results.latency import plot_latencies, plot_latency
from loadtest.results.timeline import plot_timeline
from loadtest.results.workers_curve import plot_workers

__all__ = ["plot_capacity", "plot_compare", "plot_latencies", "plot_latency", "plot_timeline", "plot_workers"]
