"""The options of a plan, said once for all commands: names, types and defaults are those of `Plan`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection
from dataclasses import fields
from typing import Annotated, Any, get_type_hints

import typer

from loadtest.commands.shared import interruptible
from loadtest.engine import stamps
from loadtest.engine.plan import Plan, PlanError

#: Whoever works for long takes one message at a time: the next one goes to whoever is free.
_OF_WORKERS = {"prefetch": 1, "ack_every": 1}
_HELP = {
    "rate": "Messages per second, over all producers; `max`: as fast as the confirm window allows.",
    "shape": "How the rate moves: constant; steps, ramp, sine or bursts around --rate; or replay of a --trace.",
    "arrivals": "How single messages fall: evenly (uniform), or at random (poisson).",
    "trace": "File for --shape replay: one number of seconds a line.",
    "duration_s": "Seconds of load.",
    "warmup_s": "Seconds at its start that are left out of all latencies.",
    "size": f"Bytes of a body, {stamps.SIZE} at least.",
    "persistent": "Whether the broker writes messages to disk.",
    "queue_type": "classic, quorum or stream.",
    "queues": "How many; producers and consumers are dealt out over them.",
    "producers": "Processes that publish.",
    "consumers": "Processes that consume; 0: nobody.",
    "window": "Most messages of a producer without a confirm; 0: no confirms.",
    "prefetch": "Most messages of a consumer without an ack.",
    "ack_every": "Messages that one ack stands for; at most the prefetch.",
    "work_ms": "Milliseconds that a consumer works for each message before it acknowledges it; it sleeps.",
    "work": "Whether every message takes --work-ms (constant), or that on average, at random (exponential).",
    "shared_ms": "Of --work-ms, what is spent under a lock that all consumers share: one at a time.",
    "drain_s": "Seconds that the broker has, after the load, to deliver what is left.",
    "seed": "Of everything random.",
    "client": "What publishes and consumes: engine, pika or aio-pika.",
    "mandatory": "Whether the broker returns what it can't route.",
}
_SWITCHES = {"persistent": "--persistent/--transient", "mandatory": "--mandatory/--no-mandatory"}
_SHORT = {"duration_s": "--duration", "warmup_s": "--warmup", "drain_s": "--drain"}


def rate_of(text: object) -> float | None:
    """A rate as it is typed.

    Raises:
        ValueError: it is neither a number nor `max`.
    """
    if text is None or str(text) == "max":
        return None
    return float(str(text))


def with_plan(
    *, without: Collection[str] = (), **defaults: Any
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command an option for each field of a plan; it takes them as its first argument, `plan`.

    Args:
        without: fields that the command decides itself.
        defaults: where they differ from those of `Plan`.
    """
    names = [field.name for field in fields(Plan) if field.name not in without]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def wrapped(**arguments: Any) -> None:
            chosen = {name: arguments.pop(name) for name in names}
            if "rate" in chosen:
                chosen["rate"] = _rate(chosen["rate"])
            with interruptible():
                command(Plan(**_settled(chosen)), **arguments)

        own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
        added = [_parameter(name, defaults) for name in names]
        wrapped.__signature__ = inspect.Signature([*_keywords(own), *added])  # type: ignore[attr-defined]
        wrapped.__annotations__ = {each.name: each.annotation for each in [*own, *added]}
        del wrapped.__wrapped__  # or the options of the wrapped one would be looked at
        return wrapped

    return decorate


def _settled(chosen: dict[str, Any]) -> dict[str, Any]:
    """What was left out, where that depends on the rest."""
    usual = _OF_WORKERS if chosen["work_ms"] else {name: getattr(Plan(), name) for name in _OF_WORKERS}
    return {name: usual[name] if name in usual and value is None else value for name, value in chosen.items()}


def _keywords(parameters: list[inspect.Parameter]) -> list[inspect.Parameter]:
    return [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]


def _parameter(name: str, defaults: dict[str, Any]) -> inspect.Parameter:
    default = defaults.get(name, getattr(Plan(), name))
    kind: Any = get_type_hints(Plan)[name]
    if name == "rate":
        kind, default = str, "max" if default is None else f"{default:g}"
    flag = _SWITCHES.get(name) or _SHORT.get(name) or f"--{name.replace('_', '-')}"
    shown: str | bool = True
    if name in _OF_WORKERS:
        kind, default, shown = int | None, None, f"{default}; {_OF_WORKERS[name]} with --work-ms"
    option = typer.Option(flag, help=_HELP[name], rich_help_panel="The load", show_default=shown)
    annotation = Annotated[kind, option]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _rate(text: str) -> float | None:
    try:
        return rate_of(text)
    except ValueError as error:
        raise PlanError(f"--rate {text}: give a number of messages per second, or `max`") from error
