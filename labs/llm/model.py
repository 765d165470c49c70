"""A model call as the stub deals it: validated, written in the ledger, delayed, then answered or failed.

Every call that passes validation ends in the ledger exactly once, also when its client leaves.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence

from pydantic import ValidationError

from labs.llm import chat
from labs.llm.delivery import Answer, Delivery
from labs.llm.dials import Dials, Dice, Fault
from labs.llm.enhancement import EnhancementData, read_enhancement_prompt, write_enhancement
from labs.llm.http_server import Reply, Request
from labs.llm.ledger import Ledger, Outcome
from labs.llm.letters import summarise, write_letter
from labs.llm.prompt import ChatMessage, CoverLetterData, read_cover_letter_prompt

#: The faults that consist in making the client wait: its leaving is how they succeed.
_HOLDING = frozenset({Fault.TIMEOUT, Fault.SLOW_DRIP})

_Asked = CoverLetterData | EnhancementData | Sequence[ChatMessage]


class Model:
    """Answers chat completions. Setting `dials` starts their seeded sequence over."""

    def __init__(self, dials: Dials, *, ledger: Ledger) -> None:
        self.dials = dials
        self._ledger = ledger

    @property
    def dials(self) -> Dials:
        """What the next call will meet."""
        return self._dials

    @dials.setter
    def dials(self, dials: Dials) -> None:
        self._dials = dials
        self._dice = Dice(dials)

    async def complete(self, request: Request, reply: Reply) -> None:
        """Answer one `POST /v1/chat/completions`."""
        try:
            body = chat.ChatRequest.model_validate_json(request.body)
        except ValidationError as problem:
            reply.send(400, chat.invalid(problem))
            return
        dials, (latency_ms, fault) = self._dials, self._dice.throw()
        messages = body.chat()
        asked = read_cover_letter_prompt(messages) or read_enhancement_prompt(messages)
        entry = self._ledger.begin(
            request_id=request.headers.get("x-request-id", ""), prompt_hash=_hash(asked or messages)
        )
        outcome: Outcome = "client_gone"
        try:
            if latency_ms and fault is not Fault.RATE_LIMIT:
                await asyncio.sleep(latency_ms / 1000)
            if fault in _HOLDING:
                outcome = fault
            text = "" if fault is Fault.EMPTY else _write(asked or messages, seed=dials.seed)
            answer = Answer(body, text=text, messages=messages, number=entry.sequence)
            await Delivery(answer, dials=dials, reply=reply).deliver(fault)
            outcome = fault or "ok"
        finally:
            self._ledger.end(entry, outcome)


def _write(asked: _Asked, *, seed: int) -> str:
    if isinstance(asked, EnhancementData):
        return write_enhancement(asked)
    return write_letter(asked, seed=seed) if isinstance(asked, CoverLetterData) else summarise(asked)


def _hash(asked: _Asked) -> str:
    """Equal for equal questions: the boundary of a prompt of ours, drawn anew for each call, stays out."""
    return hashlib.blake2b(repr(asked).encode("utf-8", "replace"), digest_size=16).hexdigest()
