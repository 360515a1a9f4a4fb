"""Agents whose every delay and fault is known: what the bench itself is measured with."""
