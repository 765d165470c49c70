"""What notebooks stand on: parts of their own that are gone afterwards, a client, and checkers of exercises."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labs.notebook.letters import Answer, CoverLetters
    from labs.notebook.on_trial import exercise
    from labs.notebook.remains import sweep
    from labs.notebook.session import Notebook, notebook

__all__ = ["Answer", "CoverLetters", "Notebook", "exercise", "notebook", "sweep"]

_HOMES = {
    "Answer": "letters",
    "CoverLetters": "letters",
    "sweep": "remains",
    "exercise": "on_trial",
    "Notebook": "session",
    "notebook": "session",
}


def __getattr__(name: str) -> Any:
    # Found when first asked for: the processes of experiments live in this package and need none of it to start.
    if name not in _HOMES:
        raise AttributeError(name)
    return getattr(import_module(f"labs.notebook.{_HOMES[name]}"), name)
