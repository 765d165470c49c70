"""The tap: a place on the wire from which everything between programs and broker is seen."""

from labs.trial.tap.frames import Frame
from labs.trial.tap.tap import Tap
from labs.trial.tap.weather import Way, Weather

__all__ = ["Frame", "Tap", "Way", "Weather"]
