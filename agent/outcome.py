"""What came of a call, for the business: what somebody said, else what its end shows. Pure.

An outcome is any short word. It is said by a key or words of the menu, by the agent's own code
(`Call.set_outcome`) or over the API, also after the call; the last word counts. Where nobody said
one, the end of the call shows two of them, and no more: whether the caller got what they wanted is
not to be seen from outside.
"""

from telephony.transport import HangupCause

RESOLVED = "resolved"
TRANSFERRED = "transferred"
ABANDONED = "abandoned"
VOICEMAIL = "voicemail"
COMMON = (RESOLVED, TRANSFERRED, ABANDONED, VOICEMAIL)
"""The words that reports of many boxes can be compared by; others are allowed."""

_LEFT = (HangupCause.CALLER_HUNG_UP, HangupCause.CALLER_VANISHED)


def outcome_of(said: str, cause: HangupCause, answers_heard: int) -> str:
    """The outcome of a call that is over; empty: nobody said, and its end shows none.

    ``said``: what somebody said came of it; empty: nobody did. ``answers_heard``: turns whose
    answer the caller heard something of, the greeting not counted.
    """
    if said:
        return said
    if cause is HangupCause.TRANSFERRED:
        return TRANSFERRED
    if cause in _LEFT and not answers_heard:
        return ABANDONED
    return ""
