"""The checker: from a history and what was promised to a verdict."""

from labs.trial.checker.check import Result, Verdict, check
from labs.trial.checker.kinds import HINTS, Anomaly, Finding

__all__ = ["HINTS", "Anomaly", "Finding", "Result", "Verdict", "check"]
