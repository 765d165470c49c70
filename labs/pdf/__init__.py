"""Typesets documents as PDF, in any script; never fails for a character."""
