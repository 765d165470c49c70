"""Measurements of the lab on this machine; `make bench` runs them all."""
