"""One set of colours for every picture: those of Okabe and Ito, which colour-blind readers can tell apart.

No picture says anything by colour alone: shape, dashes, marker or text say it too.
"""

from __future__ import annotations

BLUE = "#0072B2"
SKY = "#56B4E9"
GREEN = "#009E73"
ORANGE = "#E69F00"
VERMILION = "#D55E00"
PURPLE = "#CC79A7"
GREY = "#8A8F98"

INK = "#1F2328"
FAINT = "#57606A"
RULE = "#D0D7DE"
PAPER = "#FFFFFF"

#: Pale grounds for boxes, one for each of the colours used as a border.
PALE_BLUE = "#E3F0F8"
PALE_GREEN = "#E2F4EE"
PALE_ORANGE = "#FDF3DC"
PALE_VERMILION = "#FBE7DA"

#: In the order in which series take them.
SERIES = (VERMILION, BLUE, GREEN, ORANGE, PURPLE, SKY)

FONT = "Helvetica, Arial, 'DejaVu Sans', sans-serif"
