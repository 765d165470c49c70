"""What can be asked of a load test under Locust, said once: for its command line, its web form, and its workers."""

from __future__ import annotations

from argparse import ArgumentTypeError, Namespace
from typing import Any

from loadtest.engine.plan import Plan, PlanError

FULL_SPEED = "max"
_DEFAULTS = Plan()
#: Seconds of load of a run that has neither `--duration` nor Locust's run time.
_DURATION_S = 30.0


def add(parser: Any) -> None:
    """Add our arguments to Locust's parser; all but the last show in the web form too."""

    def number(name: str, default: float, text: str) -> None:
        parser.add_argument(f"--{name}", type=type(default), default=default, help=text)

    def choice(name: str, default: str, choices: list[str], text: str) -> None:
        parser.add_argument(f"--{name}", choices=choices, default=default, help=text)

    rate_help = f"messages per second, over all users together; {FULL_SPEED}: as fast as the window allows (Firehose)"
    parser.add_argument("--rate", type=_rate_text, default="100", help=rate_help)
    number("message-size", _DEFAULTS.size, "bytes of a message's body")
    choice("persistence", "persistent", ["persistent", "transient"], "whether messages survive a broker's restart")
    choice("queue-type", _DEFAULTS.queue_type, ["classic", "quorum", "stream"], "WorkQueue, FanOut, Firehose")
    number("prefetch", _DEFAULTS.prefetch, "most messages of a consumer without an ack")
    number("ack-every", _DEFAULTS.ack_every, "messages that one ack stands for (WorkQueue, FanOut, Firehose)")
    number("work-ms", _DEFAULTS.work_ms, "ms that a consumer of a Firehose works for each message; try a prefetch of 1")
    choice("work", _DEFAULTS.work, ["constant", "exponential"], "whether every message takes that long (Firehose)")
    number("shared-ms", _DEFAULTS.shared_ms, "of it, ms under a lock that all consumers of a Firehose share")
    number("confirm-window", _DEFAULTS.window, "most messages without a confirm; 0: no confirms (Firehose)")
    number("producers", _DEFAULTS.producers, "producer processes of a Firehose; elsewhere users are the producers")
    number("consumers", _DEFAULTS.consumers, "consumers, in each Locust process; FanOut: of each subscription")
    number("queues", _DEFAULTS.queues, "queues, in each Locust process; FanOut: subscriptions, at least 2")
    number("failing", 0.2, "share of attempts that fail (Retry), of messages that are published twice (Idempotent)")
    choice("arrivals", "poisson", ["uniform", "poisson"], "how single messages fall: evenly, or at random")
    shapes = ["constant", "steps", "ramp", "sine", "bursts"]
    choice("shape", "constant", shapes, "how the rate moves over the duration")
    duration_help = "seconds of load; 0: as long as Locust runs (-t), a Firehose as long as -t says or 30"
    parser.add_argument("--duration", type=float, default=0.0, help=duration_help)
    number("warm-up", _DEFAULTS.warmup_s, "seconds at the start that are left out of all latencies")
    number("seed", _DEFAULTS.seed, "of everything random")
    choice("client", "engine", ["engine", "pika", "aio-pika"], "what publishes and consumes in a Firehose")
    follow_help = "how CoverLetter learns that a letter is done"
    choice("follow", "stream", ["stream", "poll"], follow_help)
    parser.add_argument("--board-file", include_in_web_ui=False, help="write all that the Broker tab shows here")


def plan_of(options: Namespace, *, share: float = 1.0, part: int = 0) -> Plan:
    """The plan of one of several parts of a load.

    Args:
        options: Locust's, with ours; `agree` must have completed them.
        share: of the rate that this part has.
        part: its number: it gets a seed of its own.

    Raises:
        PlanError: they make no sense; the text says why.
    """
    rate = None if options.rate == FULL_SPEED else float(options.rate) * share
    duration_s = float(options.duration) or float(getattr(options, "load_run_time_s", 0) or _DURATION_S)
    return Plan(
        rate=rate,
        shape=options.shape,
        arrivals=options.arrivals,
        duration_s=duration_s,
        warmup_s=min(options.warm_up, duration_s / 2),
        size=options.message_size,
        persistent=options.persistence == "persistent",
        queue_type=options.queue_type,
        queues=options.queues,
        producers=options.producers,
        consumers=options.consumers,
        window=options.confirm_window,
        prefetch=options.prefetch,
        ack_every=options.ack_every,
        work_ms=options.work_ms,
        work=options.work,
        shared_ms=options.shared_ms,
        seed=options.seed * 1000 + part,
        client=options.client,
    )


def agree(options: Namespace) -> None:
    """Note what workers must know and Locust doesn't tell them: how many users there are, and for how long."""
    options.load_users = max(1, int(options.num_users or 1))
    options.load_run_time_s = float(options.run_time or 0)


def check(options: Namespace) -> None:
    """Refuse what can't be before anything is started.

    Raises:
        PlanError: the text says what is wrong, and what would do.
    """
    agree(options)
    if options.rate != FULL_SPEED and float(options.rate) <= 0:
        raise PlanError(f"--rate must be more than zero: messages per second, or {FULL_SPEED} for a Firehose")
    plan_of(options)
    if not 0 <= options.failing < 1:
        raise PlanError("the share that fails is from 0 to less than 1")
    if options.duration < 0 or options.warm_up < 0:
        raise PlanError("durations can't be negative")


def _rate_text(text: str) -> str:
    """It stays text, because the web form gives every argument back in the type that it had."""
    if text != FULL_SPEED:
        try:
            float(text)
        except ValueError:
            raise ArgumentTypeError(f"a number of messages per second, or {FULL_SPEED}") from None
    return text
