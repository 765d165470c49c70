"""The sentences that letters are made of, in each tone; `{company}`, `{position}` and the like are filled in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from labs.llm.prompt import Tone


@dataclass(frozen=True, slots=True)
class Wording:
    """Ways to say each part of a letter; one of each is chosen."""

    greeting: Sequence[str]
    greeting_nobody: Sequence[str]
    opening: Sequence[str]
    shared: Sequence[str]
    requirement: Sequence[str]
    record: Sequence[str]
    closing: Sequence[str]
    farewell: Sequence[str]
    achievements: int


WORDINGS: dict[Tone, Wording] = {
    "professional": Wording(
        greeting=("Dear {company} hiring team,", "Dear hiring team at {company},"),
        greeting_nobody=("Dear hiring team,",),
        opening=(
            "I am writing to apply for {position} at {company}.{years}",
            "Please consider this letter as my application for {position} at {company}.{years}",
        ),
        shared=(
            "Your description asks for {skills}; these have been at the centre of my work.",
            "My background matches what the position calls for, in particular {skills}.",
        ),
        requirement=(
            'You write: "{requirement}". That describes well what I have been doing.',
            'One point of your description stood out to me: "{requirement}". I can contribute to it from day one.',
        ),
        record=("From my record, I would draw your attention to the following:", "Relevant parts of my record are:"),
        closing=(
            "I would welcome a conversation about how I can contribute to {company}. Thank you for considering me.",
            "I should be glad to present my experience to {company} in person. Thank you for your time.",
        ),
        farewell=("Yours sincerely,",),
        achievements=3,
    ),
    "friendly": Wording(
        greeting=("Hello {company} team,", "Hi everyone at {company},"),
        greeting_nobody=("Hello everyone,",),
        opening=(
            "When I read about {position}, I wanted to write to {company} right away.{years}",
            "I smiled when I read about {position}: {company} is where I would love to work.{years}",
        ),
        shared=(
            "We already have a lot in common: {skills}. I work with them gladly, and it shows.",
            "What caught my eye is how much we share: {skills}.",
        ),
        requirement=(
            'You say "{requirement}", and I thought: yes, that is me.',
            'I especially liked this line of yours: "{requirement}".',
        ),
        record=("A few things I am happy to have done:", "Some moments I am proud of:"),
        closing=(
            "I would love to meet the people at {company} and hear what you are working on. Thanks for reading!",
            "Shall we talk? I am curious about {company} and happy to tell you more. Thank you for reading this far!",
        ),
        farewell=("Warm regards,", "All the best,"),
        achievements=3,
    ),
    "concise": Wording(
        greeting=("Dear {company} team,",),
        greeting_nobody=("Dear hiring team,",),
        opening=("I apply for {position} at {company}.{years}",),
        shared=("I bring what you ask for: {skills}.", "What I offer: {skills}."),
        requirement=(),
        record=("In short:", "Evidence:"),
        closing=("I look forward to hearing from {company}.", "I am available for a conversation with {company}."),
        farewell=("Regards,",),
        achievements=2,
    ),
}
