"""A page of HTML that opens anywhere, also without a network: pictures and tables in it, one style."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence

from labs.display.chart import Chart
from labs.display.palette import FAINT, INK, PAPER, RULE

_STYLE = f"""
body {{ font: 15px/1.5 system-ui, 'DejaVu Sans', sans-serif; color: {INK}; background: {PAPER};
       max-width: 960px; margin: 2rem auto; padding: 0 1rem; }}
h1 {{ font-size: 1.5rem; }} h2 {{ font-size: 1.15rem; margin-top: 2.5rem; border-top: 1px solid {RULE};
     padding-top: 1rem; }}
img {{ max-width: 100%; display: block; margin: 1rem 0; }}
table {{ border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }}
th, td {{ padding: .25rem .75rem; border-bottom: 1px solid {RULE}; text-align: left; }}
.numbers th:not(:first-child), .numbers td:not(:first-child) {{ text-align: right; }}
p.verdict {{ font-size: 1.1rem; font-weight: 600; overflow-wrap: anywhere; }} .faint {{ color: {FAINT}; }}
pre {{ white-space: pre-wrap; overflow-wrap: anywhere; font-size: 12px; }}
"""


def page(title: str, parts: Sequence[str]) -> str:
    """The page with this title, and these pieces of HTML one after the other."""
    name = html.escape(title)
    body = "\n".join([f"<h1>{name}</h1>", *parts])
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{name}</title>'
        f"<style>{_STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def image(chart: Chart) -> str:
    """A chart in the page itself, with its text for who can't see it."""
    data = base64.b64encode(chart.png).decode()
    return f'<img alt="{html.escape(chart.text, quote=True)}" src="data:image/png;base64,{data}">'


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: bool = False) -> str:
    """A table; with `numbers` all columns but the first one are set from the right."""
    cells = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    kind = ' class="numbers"' if numbers else ""
    return f"<table{kind}><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table>"
