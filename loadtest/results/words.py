"""Results in words: those that the terminal, the pages and JSON have in common."""

from __future__ import annotations

from typing import Any

from loadtest.results.run import Run

LATENCIES = {
    "send_delay": "send delay (the generator's own)",
    "confirm": "confirm",
    "from_sent": "end to end, from sending",
    "from_intended": "end to end, from the intended time",
}
_SERIOUS = ("lost", "corrupt", "foreign", "unexpected", "strange")
_WORTH_SAYING = ("unsent", "nacked", "returned", "unconfirmed", "duplicated", "recovered", "out_of_order", "left")


def shown_ms(value: float | str | None) -> str:
    """Milliseconds, in three digits; a message that never came took for ever."""
    if value is None:
        return "-"
    number = float(value)
    if number == float("inf"):
        return "never"
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def in_words(run: Run) -> str:
    """What became of the messages, in one line."""
    found = run.integrity.as_dict()
    words = [f"{found[name]:,} {name}" for name in ("offered", "sent", "confirmed", "delivered")]
    words += [f"{found[name]:,} {name.replace('_', ' ')}" for name in _WORTH_SAYING if found[name]]
    words += [f"{found[name]:,} {name}" for name in _SERIOUS if found[name] or name == "lost"]
    return ", ".join(words)


def little_in_words(little: dict[str, Any]) -> str:
    """The check from outside, in one line."""
    verdict = "they agree" if little["agrees"] else "they do NOT agree: one of the two is wrong"
    return (
        f"the broker held {little['sampled']:,.0f} messages on average ({little['samples']} samples of its own), "
        f"rate times time says {little['expected']:,.0f}: {verdict}"
    )


def folded(title: str, *, width: int = 84) -> str:
    """A title in lines that fit over a picture."""
    words, lines = title.split(), [""]
    for word in words:
        if len(lines[-1]) + len(word) > width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)
