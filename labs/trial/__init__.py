"""Trials: a messaging system under load and faults, judged from outside."""
