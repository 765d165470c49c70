"""Checkers of the exercises, one file a chapter: each looks for itself, and says what to do next."""
