"""Chapter 12: an alert that fires in trouble, and only then."""

from __future__ import annotations

from collections.abc import Callable

from labs.notebook.experiments.drills import Drill, Sample


def check_alert(alert: Callable[[Sample], object], *, calm: Drill, trouble: Drill) -> str:
    """A rule that fires while users wait in vain, and is silent when all is well, also in a burst."""
    while_broken = [s for s in trouble.samples if trouble.broke_s <= s.at_s <= trouble.mended_s]
    if not any(alert(sample) for sample in while_broken):
        return "Not yet: in the eleventh drill users waited for nothing, and your rule was silent all the time."
    if any(alert(sample) for sample in calm.samples):
        return "Not yet: your rule fires when nothing is broken: somebody got up at night for a burst of requests."
    before = [sample for sample in trouble.samples if sample.at_s < trouble.broke_s]
    if any(alert(sample) for sample in before):
        return "Not yet: your rule fires before anything breaks."
    return "Solved: silent when all is well, and it fires while the eleventh fault lasts."
