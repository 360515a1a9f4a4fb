"""Callers from outside, with the clock on their side of the wire."""
