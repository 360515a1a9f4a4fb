"""Is what the caller said over the agent a sign of listening, or does he want the floor? Pure.

People who listen say "mm-hm", "right", "okay" without meaning to speak (backchannels: Yngve 1970);
the speaker goes on. The recogniser writes such sounds in many ways; this knows them all.
"""

import re

_HUMMED = re.compile(
    r"(?:m+|h+m+|m+h+m*|u+h+m*|u+m+|e+r+m*|a+h+|o+h+|e+h+|h+u+h+|a+w+|y+u+p+|y+e+p+|h+a+)"
)
"""Sounds that are spelled as long as they last: mmm, hmm, uhh, um, ah."""
_SIGNS = frozenset(
    "yeah yes yea ya yah aha okay ok kay alright right sure fine good great nice cool perfect "
    "exactly indeed true correct absolutely totally wow really gotcha understood thanks "
    "huhuh mhm mhmm mmhm mmhmm uhhuh uhuh ahhah".split()
)
_PHRASES = frozenset(
    (
        "i see",
        "i know",
        "i understand",
        "got it",
        "all right",
        "of course",
        "for sure",
        "thank you",
        "thank you very much",
        "thank you so much",
        "very good",
        "sounds good",
        "go on",
        "makes sense",
        "that makes sense",
        "thats right",
        "that is right",
        "oh i see",
        "no problem",
        "no worries",
        "fair enough",
    )
)
LONGEST_WORDS = 6
"""More signs than this in a row are no sign of listening any more."""


def is_backchannel(text: str) -> bool:
    """Whether ``text``, as recognised, is nothing but signs of listening.

    False for nothing at all, and for whatever asks, refuses, counts or tells: "stop", "no".
    """
    if "?" in text:
        return False
    words = (
        re.sub(r"[^a-z0-9' ]", " ", text.lower().replace("-", "").replace(".", ""))
        .replace("'", "")
        .split()
    )
    if not words or len(words) > LONGEST_WORDS:
        return False
    at = 0
    while at < len(words):
        for length in range(len(words) - at, 0, -1):
            if _is_sign(" ".join(words[at : at + length])):
                at += length
                break
        else:
            return False
    return True


def _is_sign(phrase: str) -> bool:
    return phrase in _SIGNS or phrase in _PHRASES or _HUMMED.fullmatch(phrase) is not None
