"""Chapter 14: whether a webhook is genuine."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from labs.notebook.experiments.resumes import Resumes
from labs.notebook.experiments.webhook_receiver import Receiver, Webhook
from labs.notebook.session import Notebook
from labs.systems.webhooks import signature

_OTHER = b"another secret that is long enough to be one"
_TEN_MINUTES_S = 600

Genuine = Callable[[Mapping[str, str], bytes, bytes, float], object]


async def a_webhook(lab: Notebook) -> Webhook:
    """A real one, as it came."""
    receiver = Receiver()
    try:
        Resumes(lab).ask("For the exercise.", webhookUrl=receiver.url)
        [webhook] = await receiver.gets(1)
    finally:
        receiver.close()
    return webhook


def check_genuine(webhook: Webhook, secret: bytes, genuine: Genuine) -> str:
    """A receiver that takes the real one, and nothing that anybody could have made or kept."""
    now_s = time.time()
    if not genuine(webhook.headers, webhook.body, secret, now_s):
        return "Not yet: you would refuse the real one. What exactly is signed?"
    for what, forged, at_s in _forgeries(webhook, secret, now_s):
        try:
            taken = genuine(forged.headers, forged.body, secret, at_s)
        except Exception as error:
            return f"Not yet: {what} makes it fail with {type(error).__name__}, and it comes from a stranger."
        if taken:
            return f"Not yet: you would take {what}."
    return "Solved: the real one is taken, and none of the others."


def _forgeries(webhook: Webhook, secret: bytes, now_s: float) -> list[tuple[str, Webhook, float]]:
    old = str(int(now_s - _TEN_MINUTES_S))
    unsigned = {name: value for name, value in webhook.headers.items() if not name.startswith("x-webhook-")}
    return [
        ("a body that was changed on the way", replace(webhook, body=webhook.body + b" "), now_s),
        ("one that is not signed at all", replace(webhook, headers=unsigned), now_s),
        (
            "one that is signed with another secret",
            _signed(webhook, _OTHER, webhook.headers["x-webhook-timestamp"]),
            now_s,
        ),
        ("one whose timestamp is no number", _signed(webhook, secret, "now"), now_s),
        ("one that was kept for ten minutes and sent again", _signed(webhook, secret, old), now_s),
    ]


def _signed(webhook: Webhook, secret: bytes, timestamp: str) -> Webhook:
    signed = {
        "x-webhook-timestamp": timestamp,
        "x-webhook-signature": f"sha256={signature(secret, timestamp, webhook.body)}",
    }
    return replace(webhook, headers={**webhook.headers, **signed})
