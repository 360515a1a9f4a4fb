"""Word error rates with their uncertainty. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

import jiwer
import numpy as np

from latency_bench.words import spoken_words

RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class WordErrors:
    """Of one utterance: errors (substituted, left out, put in) and words that were said."""

    errors: int
    words: int


@dataclass(frozen=True, slots=True)
class Rate:
    """A share with its 95% confidence interval; ``of``: how many things it is a share of."""

    value: float
    low: float
    high: float
    of: int


def word_errors(expected: str, heard: str) -> WordErrors | None:
    """Errors in ``heard``, both sides normalised by `words.spoken_words`.

    None where nothing is left of ``expected`` to be recognised.
    """
    want, got = " ".join(spoken_words(expected)), " ".join(spoken_words(heard))
    if not want:
        return None
    found = jiwer.process_words(want, got)
    errors = found.substitutions + found.deletions + found.insertions
    return WordErrors(errors, found.hits + found.substitutions + found.deletions)


def word_error_rate(counts: Sequence[WordErrors], seed: int = 0) -> Rate | None:
    """All errors over all words; the interval by the bootstrap over utterances (percentiles).

    Utterances are drawn, not words: errors of one speaker come together.
    """
    if not counts:
        return None
    errors = np.array([count.errors for count in counts], float)
    words = np.array([count.words for count in counts], float)
    drawn = np.random.default_rng(seed).integers(0, len(counts), (RESAMPLES, len(counts)))
    rates = errors[drawn].sum(axis=1) / words[drawn].sum(axis=1)
    low, high = np.percentile(rates, [2.5, 97.5])
    value = float(errors.sum() / words.sum())
    return Rate(value, float(low), float(high), int(words.sum()))


def share(hits: int, of: int) -> Rate | None:
    """``hits`` of ``of`` with Wilson's score interval (1927), which holds for few trials too."""
    if not of:
        return None
    z, p = 1.96, hits / of
    middle = (p + z * z / (2 * of)) / (1 + z * z / of)
    reach = z / (1 + z * z / of) * np.sqrt(p * (1 - p) / of + z * z / (4 * of * of))
    return Rate(p, max(0.0, float(middle - reach)), min(1.0, float(middle + reach)), of)
