"""Whether what a recogniser wrote was really said. Pure.

Whisper writes words for noise and repeats itself where it loses the thread; both are told by
its own probabilities and by the words.
"""

import math
import re

# (no-speech probability over, mean log probability under): where both hold, words are withheld.
# Chosen on single spoken digits at 8 kHz, the hardest real speech (up to 0.88 at -0.76, 0.77 at
# -1.23, 0.34 at -1.56), against silence (0.99 at -0.8), noise, crying and hold music (0.48-0.98
# at -1.1 to -2.4) and the babble of many talkers (0.29-0.42 at -1.7 to -1.9).
_NOT_SPEECH = ((0.25, -1.65), (0.82, -1.0), (0.93, math.inf))

# What Whisper makes of noise because the ends of its training videos said so. A caller's own
# "thank you" scores under 0.3.
_PHANTOMS = {"", "you", "thank you", "thanks", "thank you for watching", "thanks for watching"}
_PHANTOM_NO_SPEECH_PROBABILITY = 0.6

# A bark or a cry becomes one word over and over; a caller who repeats herself scores lower.
_REPEATED_NO_SPEECH_PROBABILITY = 0.3

# (words of a phrase, words after it that repeat it) that real speech seldom has and a runaway
# decoder has: "no no no no", "yes please" three times, any five words twice.
_REPEATS = ((1, 3), (2, 4), (3, 3), (4, 4), (5, 5))
_STUTTER = re.compile(r"(\w)\1{4}")


def repeats_itself(text: str) -> bool:
    """Whether a phrase stands several times in a row, the last time perhaps in part.

    Digits may honestly do so; the answer costs them a second look, not the words.
    """
    words = _words(text)
    for length in range(1, len(words)):
        enough = next(enough for least, enough in reversed(_REPEATS) if length >= least)
        matching = 0
        for here, later in zip(words, words[length:], strict=False):
            matching = matching + 1 if here == later else 0
            if matching >= enough:
                return True
    return _STUTTER.search(text) is not None


def is_speech(text: str, no_speech_probability: float, log_probability: float) -> bool:
    """Whether decoded words were really said, rather than made up from noise."""
    if any(no_speech_probability > over and log_probability < under for over, under in _NOT_SPEECH):
        return False
    if no_speech_probability > _REPEATED_NO_SPEECH_PROBABILITY and repeats_itself(text):
        return False
    if no_speech_probability > _PHANTOM_NO_SPEECH_PROBABILITY:
        return " ".join(_words(text)) not in _PHANTOMS
    return True


def _words(text: str) -> list[str]:
    return re.findall(r"[\w']+", text.lower())
