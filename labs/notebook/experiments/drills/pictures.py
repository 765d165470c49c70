"""Charts of drills in few colours: a chapter with a dozen of them stays small enough to be shown on a page."""

from __future__ import annotations

import dataclasses
import io

from PIL import Image  # matplotlib brings it

from labs.display import Chart

#: Enough for smooth letters; a picture is a third of its size then.
_COLOURS = 64


def light(chart: Chart) -> Chart:
    """The same chart, its PNG with a palette."""
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(chart.png)) as picture:
        picture.convert("RGB").quantize(_COLOURS).save(buffer, "PNG", optimize=True)
    return dataclasses.replace(chart, png=buffer.getvalue())
