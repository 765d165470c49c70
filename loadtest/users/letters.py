"""What both ways to a cover letter share: a client of the service, users of its own, and a request's true length.

Locust's client would count its requests from when they were sent; ours count from when they were meant to be.
"""

from __future__ import annotations

import functools
import itertools
import json
import secrets
import urllib.error
import urllib.request
from importlib import resources
from typing import Any, ClassVar

from gevent.pool import Group
from locust import FastHttpUser
from locust.event import EventHook

from labs.service.tokens import make_token
from labs.settings import load_settings
from loadtest.scenario import Scenario, ScenarioFailed
from loadtest.users.scheduled import ScheduledUser

PATH = "/api/cover-letter"
_TIMEOUT_S = 5.0
#: So many people ask for letters, in turn: the service limits how often each may.
_PEOPLE = 1000
#: Of whom no other user of the lab is one.
_FIRST_PERSON = 10**9


class LettersScenario(Scenario):
    """The service, if it is there; it has its own queues, and needs none of ours."""

    needs_broker = False

    def __init__(self, load: Any, user_class: Any) -> None:
        super().__init__(load, user_class)
        self.url_of_service = load.environment.host or service_url()
        self._settings = load_settings()
        #: Those under way: they outlive the user who has asked for them.
        self.letters = Group()
        first = _FIRST_PERSON + secrets.randbelow(10**6) * _PEOPLE
        self._people = itertools.cycle(range(first, first + _PEOPLE))

    def make(self) -> None:
        """Nothing, but see whether the service is there."""
        try:
            urllib.request.urlopen(f"{self.url_of_service}/readyz", timeout=_TIMEOUT_S).close()  # noqa: S310
        except urllib.error.HTTPError as error:
            raise ScenarioFailed(f"the service at {self.url_of_service} is not ready: see `labs status`") from error
        except (OSError, ValueError) as error:
            raise ScenarioFailed(
                f"no service answers at {self.url_of_service}: start it with `python -m labs up`, "
                "or say where it is with --host"
            ) from error

    def close(self) -> None:
        super().close()
        self.letters.kill()

    def authorization(self) -> dict[str, str]:
        """The header of the next of our people."""
        return {"Authorization": f"Bearer {make_token(self._settings, user_id=next(self._people))}"}


class LettersUser(ScheduledUser, FastHttpUser):
    """Asks for a letter whenever its schedule says so, whether those before have come or not."""

    abstract = True
    host = "http://127.0.0.1:8000"  # Locust wants one; the scenario knows better
    concurrency = 1000
    network_timeout = 120.0
    scenario: LettersScenario
    scenario_class: ClassVar[type[Scenario]] = LettersScenario

    def open(self) -> None:
        self.client.base_url = self.scenario.url_of_service
        self.client.request_event = EventHook()  # type: ignore[no-untyped-call]  # nobody listens: see above

    def send(self, intended_ns: int, sent_ns: int) -> None:
        self.scenario.letters.spawn(self.letter, intended_ns, sent_ns)

    def letter(self, intended_ns: int, sent_ns: int) -> None:
        """One letter, from asking to reading."""
        raise NotImplementedError

    def fail(self, kind: str, intended_ns: int, why: str) -> None:
        """This letter won't come."""
        self.scenario.lost()
        self.scenario.fire(kind, intended_ns, error=LetterFailed(why))


class LetterFailed(Exception):
    """A letter did not come; the text says why."""


@functools.cache
def application() -> dict[str, str]:
    """What a letter is written from."""
    samples = resources.files("labs.samples")
    texts = {"jobDescription": "job_description.txt", "cvText": "cv.txt"}
    return {name: samples.joinpath(file).read_text(encoding="utf-8") for name, file in texts.items()}


def why(response: Any) -> str:
    """What the service says of a request that it did not accept."""
    if response.error is not None and not response.status_code:
        return str(response.error)
    try:
        return f"{response.status_code}: {json.loads(response.text)['detail']}"
    except (ValueError, KeyError, TypeError):
        return f"{response.status_code}"


def service_url() -> str:
    """Where the lab's own service is."""
    settings = load_settings()
    return f"http://127.0.0.1:{settings.api_port}"
