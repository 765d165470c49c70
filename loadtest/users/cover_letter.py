"""A cover letter over HTTP: post, be accepted at once, and hear of its end by a stream of events or by asking again."""

from __future__ import annotations

import json
from typing import Any

import gevent

from loadtest.users.letters import PATH, LettersScenario, LettersUser, application, why

_POLL_S = 0.2
_TERMINAL = frozenset({"completed", "failed", "cancelled"})


class CoverLetterScenario(LettersScenario):
    """Letters take a while, and there may be retries."""

    drain_s = 30.0
    kinds = ("accept", "done")


class CoverLetter(LettersUser):
    """Requests `accept` last until the 202, `done` until the letter was there."""

    scenario_class = CoverLetterScenario

    def letter(self, intended_ns: int, sent_ns: int) -> None:
        headers = self.scenario.authorization()
        response: Any = self.client.post(PATH, json=application(), headers=headers)
        if response.status_code != 202:
            self.fail("accept", intended_ns, why(response))
            return
        self.scenario.confirmed(intended_ns, sent_ns)
        self.scenario.fire("accept", intended_ns, length=len(response.text))
        where = f"{PATH}/status/{response.json()['jobId']}"
        follow = self._poll if self.environment.parsed_options.follow == "poll" else self._stream
        job = follow(where, headers)
        if job.get("status") != "completed":
            self.fail("done", intended_ns, f"the job ended as {job.get('status')}: {job.get('errorMessage')}")
            return
        self.scenario.received(intended_ns, sent_ns)
        self.scenario.fire("done", intended_ns, length=len(job["coverLetter"]))

    def _stream(self, where: str, headers: dict[str, str]) -> dict[str, Any]:
        """The job at its end, or as it was when the stream broke."""
        job: dict[str, Any] = {}
        for line in self.client.iter_lines(f"{where}/events", headers=headers):
            if line.startswith("data:"):
                job = json.loads(line.removeprefix("data:"))
        return job

    def _poll(self, where: str, headers: dict[str, str]) -> dict[str, Any]:
        while True:
            response: Any = self.client.get(where, headers=headers)
            job: dict[str, Any] = response.json() if response.status_code == 200 else {"errorMessage": why(response)}
            if job.get("status") in _TERMINAL or response.status_code != 200:
                return job
            gevent.sleep(_POLL_S)
