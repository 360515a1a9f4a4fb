"""Sounds that are no answer yet: "one moment", "let me see", typing, a beep. Pure."""

from collections.abc import Sequence

from latency_bench.words import spoken_words

WORDS = frozenset(
    "ah alright certainly erm hm hmm hmmm mhm mm okay ok oh right so sure uh um umm well".split()
)
PHRASES = (
    "absolutely",
    "all right",
    "bear with me",
    "give me a moment",
    "give me a second",
    "give me one moment",
    "give me one second",
    "good question",
    "got it",
    "hang on",
    "hold on",
    "i see",
    "i will check",
    "i'll check",
    "i'll check that",
    "i'll have a look",
    "i'll look that up",
    "just a moment",
    "just a sec",
    "just a second",
    "just one moment",
    "just one second",
    "let me check",
    "let me check that",
    "let me check on that",
    "let me have a look",
    "let me look",
    "let me look into that",
    "let me look that up",
    "let me see",
    "let me take a look",
    "let me think",
    "let's see",
    "of course",
    "one moment",
    "one sec",
    "one second",
    "please hold",
    "please wait",
    "that's a good question",
    "wait a moment",
    "working on it",
)
ENDINGS = frozenset(("for", "you", "please", "now", "here", "then"))
"""Words that may follow a phrase: "let me check that for you"."""


def is_filler(text: str) -> bool:
    """Whether ``text`` is made of fillers alone; False of nothing."""
    words = spoken_words(text)
    if not words:
        return False
    place, after_phrase = 0, False
    while place < len(words):
        phrase = _phrase_at(words, place)
        if phrase:
            place, after_phrase = place + phrase, True
        elif words[place] in WORDS or (after_phrase and words[place] in ENDINGS):
            place += 1
        else:
            return False
    return True


def is_no_answer(text: str) -> bool:
    """Whether what was recognised in a sound is no answer yet: fillers alone, or no words."""
    return not spoken_words(text) or is_filler(text)


def _phrase_at(words: Sequence[str], place: int) -> int:
    """How many words the longest phrase there has; 0 without one."""
    return max(
        (len(p) for p in _PLAIN_PHRASES if tuple(words[place : place + len(p)]) == p), default=0
    )


# As they are left by the same treatment as the words that are looked for.
_PLAIN_PHRASES = tuple(tuple(spoken_words(phrase)) for phrase in PHRASES)
