"""Recordings -> figures. Pure."""
