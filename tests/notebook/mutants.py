"""What is broken on purpose, chapter by chapter: every lesson must notice that its pattern no longer keeps its word."""

from __future__ import annotations

from tests.notebook.mutation import Mutant

MUTANTS: tuple[Mutant, ...] = ()
