"""Talking to a language model: the client, the prompts, and a stub server that speaks the same protocol."""
