"""Why a call is not taken, and what the doors say of it."""

RETRY_AFTER_S = 30
"""When a caller who was refused may try again: about when the next call ends."""
RETRY_HEADERS = {"Retry-After": str(RETRY_AFTER_S)}
"""For an HTTP 503 (RFC 9110, 10.2.3)."""


class BoxFull(Exception):
    """Every place is taken; the caller may try again later."""
