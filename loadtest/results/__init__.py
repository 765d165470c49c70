"""Runs on disk: one folder each, whole or not there, opened in one call with pandas frames and exact histograms."""

from loadtest.results.folder import Pending, ResultsError, load, load_all
from loadtest.results.run import Run, recorded

__all__ = ["Pending", "ResultsError", "Run", "load", "load_all", "recorded"]
