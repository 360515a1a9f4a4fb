"""Why a call is not taken, and what the doors say of it."""

RETRY_AFTER_S = 30
"""When a caller who was refused may try again: about when the next call ends."""


class BoxFull(Exception):
    """Every place is taken; the caller may try again later."""

    sip_status = 503
    sip_phrase = "Service Unavailable"
    retry_after_s = RETRY_AFTER_S

    @property
    def headers(self) -> dict[str, str]:
        """For an HTTP 503 (RFC 9110, 10.2.3)."""
        return {"Retry-After": str(self.retry_after_s)}


class OverBudget(BoxFull):
    """A budget is spent: a place that becomes free is of no use to this caller."""

    # A 503 would have a carrier take the whole trunk for down (RFC 3261, 21.5.4).
    sip_status = 480
    sip_phrase = "Temporarily Unavailable"

    def __init__(self, message: str, *, retry_after_s: int, spoken: str = "") -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.spoken = spoken
        """What a telephone caller is told, once answered; empty: the call is not answered."""
