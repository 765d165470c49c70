"""What notebooks stand on: parts of their own that are gone afterwards, a client, and checkers of exercises."""

from labs.notebook.letters import Answer, CoverLetters
from labs.notebook.remains import sweep
from labs.notebook.session import Notebook, notebook

__all__ = ["Answer", "CoverLetters", "Notebook", "notebook", "sweep"]
