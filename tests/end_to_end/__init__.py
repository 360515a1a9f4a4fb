"""Whole calls with real engines."""
