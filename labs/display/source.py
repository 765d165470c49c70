"""The code of a function or module, shown where it is talked about: coloured where that can be, plain elsewhere."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType


@dataclass(frozen=True)
class Source:
    """Python code to look at."""

    text: str

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:  # noqa: ARG002
        return {"text/markdown": f"```python\n{self.text}\n```", "text/plain": self.text}

    def __str__(self) -> str:
        return self.text


def source(*parts: Callable[..., object] | type | ModuleType) -> Source:
    """The code of functions, classes or a whole module, as it stands in its file."""
    return Source("\n\n".join(inspect.getsource(part).strip() for part in parts))
