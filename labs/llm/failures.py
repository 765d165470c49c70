"""What a failed model call means for the delivery that made it: try again, wait for the service, or never.

Messages name the status, the kind of error and what to do next; never a prompt, a key or an answer.
"""

from __future__ import annotations

import email.utils
import math
import time

import httpx2
import openai

from labs.errors import ModelError, ModelFailed, ModelRefused, ModelUnavailable

#: 4xx that are about the moment, not about the request.
_PASSING = frozenset({408, 409, 425, 429})

_ADVICE = {
    400: "it may be too long for the model",
    401: "check OPENAI_API_KEY",
    403: "the key may not use this model: check OPENAI_API_KEY and LAB_MODEL",
    404: "check OPENAI_BASE_URL and LAB_MODEL",
}


def model_error(error: openai.OpenAIError, *, address: str) -> ModelError:
    """The lab's error for one of the package's."""
    if isinstance(error, openai.APIStatusError):
        return _from_status(error.response, address=address)
    cause = error.__cause__
    if isinstance(cause, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.UnsupportedProtocol):
        return ModelUnavailable(
            f"nothing answers at {address} ({type(cause).__name__}): start the model (`python -m labs stub`), "
            "or check OPENAI_BASE_URL"
        )
    kind = type(cause or error).__name__
    return ModelFailed(f"the call to {address} broke off ({kind}): another attempt may succeed")


def _from_status(response: httpx2.Response, *, address: str) -> ModelError:
    status = response.status_code
    if status == 429:
        return ModelFailed(
            f"{address} answered 429, too many requests: call it less often, or try again later",
            retry_after_s=retry_after_s(response),
        )
    if status >= 500 or status in _PASSING:
        return ModelFailed(
            f"{address} answered {status}: another attempt may succeed", retry_after_s=retry_after_s(response)
        )
    if status < 400:
        return ModelRefused(f"{address} sends callers elsewhere ({status}): set OPENAI_BASE_URL to where it sends them")
    advice = _ADVICE.get(status, "another attempt would get the same answer")
    return ModelRefused(f"{address} refused the request with {status}: {advice}")


def retry_after_s(response: httpx2.Response) -> float | None:
    """Seconds that the Retry-After header asks to wait, in either of its forms; None without a usable one."""
    value = response.headers.get("retry-after")
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    return max(seconds, 0.0) if math.isfinite(seconds) else None
