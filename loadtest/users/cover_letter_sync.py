"""The old way to a cover letter, to compare: the request waits while the model writes, and its failure is final."""

from __future__ import annotations

from typing import Any

from loadtest.users.letters import PATH, LettersScenario, LettersUser, application, why


class CoverLetterSyncScenario(LettersScenario):
    """One request is all there is."""

    drain_s = 30.0
    kinds = ("done",)


class CoverLetterSync(LettersUser):
    """Requests `done` last until the letter was there."""

    scenario_class = CoverLetterSyncScenario

    def letter(self, intended_ns: int, sent_ns: int) -> None:
        headers = self.scenario.authorization()
        response: Any = self.client.post(f"{PATH}/sync", json=application(), headers=headers)
        if response.status_code != 200:
            self.fail("done", intended_ns, why(response))
            return
        self.scenario.confirmed(intended_ns, sent_ns)
        self.scenario.received(intended_ns, sent_ns)
        self.scenario.fire("done", intended_ns, length=len(response.text))
