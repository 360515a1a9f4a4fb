"""Word error rates and their intervals, on counts that are known."""

import numpy as np
import pytest

from latency_bench.quality.line_codecs import CODECS, NONE, PCMU
from latency_bench.quality.word_errors import WordErrors, share, word_error_rate, word_errors
from latency_bench.quality.word_quality import Condition, Hearing, conditions
from latency_bench.quality.words import rate_where, word_summary


def test_errors_are_counted_in_words_as_spoken() -> None:
    assert word_errors("two coffees please", "two coffees please") == WordErrors(0, 3)
    assert word_errors("two coffees please", "2 toffees") == WordErrors(2, 3)
    assert word_errors("c u e", "Q") == WordErrors(1, 1)
    assert word_errors("yes", "") == WordErrors(1, 1)
    assert word_errors("yes", "oh yes indeed") == WordErrors(2, 1)
    assert word_errors("...", "something") is None


def test_the_rate_is_over_all_words_and_its_interval_holds_it() -> None:
    counts = [WordErrors(1, 10), WordErrors(0, 10), WordErrors(5, 20)]
    rate = word_error_rate(counts)
    assert rate is not None
    assert rate.value == pytest.approx(6 / 40) and rate.of == 40
    assert rate.low < rate.value < rate.high
    assert word_error_rate(counts) == rate
    assert word_error_rate([]) is None


def test_the_interval_narrows_with_more_utterances() -> None:
    draw = np.random.default_rng(1)

    def width(count: int) -> float:
        rate = word_error_rate([WordErrors(int(draw.binomial(8, 0.2)), 8) for _ in range(count)])
        assert rate is not None
        return rate.high - rate.low

    assert width(400) < width(25) / 2
    sure = word_error_rate([WordErrors(1, 5)] * 20)
    assert sure is not None and sure.low == sure.high == pytest.approx(0.2)


def test_shares_of_few_are_uncertain_at_both_ends() -> None:
    none, some = share(0, 10), share(5, 10)
    assert none is not None and some is not None
    # Wilson's interval for 0 of 10 and 5 of 10, from published tables.
    assert (none.low, none.high) == pytest.approx((0.0, 0.278), abs=0.001)
    assert (some.low, some.high) == pytest.approx((0.237, 0.763), abs=0.001)
    assert share(0, 0) is None


def test_each_dimension_is_varied_with_the_others_at_their_base() -> None:
    found = conditions(full=False)
    dimensions = [condition.dimension for condition in found]
    assert {name: dimensions.count(name) for name in set(dimensions)} == {
        "base": 1,
        "codec": len(CODECS) - 1,
        "ear": 1,
        "noise": 12,
        "loss": 9,
    }
    crossed = conditions(full=True)
    assert sum(c.dimension == "crossed" for c in crossed) == 5 * 13 * 7 - 1 - 4 - 12 - 6
    assert len(set(crossed)) == len(crossed)


def test_the_summary_takes_each_figure_from_its_own_condition() -> None:
    def heard(clip: str, errors: int, **changes: object) -> Hearing:
        condition = Condition(**changes)  # type: ignore[arg-type]
        return Hearing(condition, "set", clip, "", "", WordErrors(errors, 10))

    hearings = [
        heard("a", 0, codec=NONE),
        heard("a", 1, codec=PCMU),
        heard("b", 3),
        heard("a", 4, noise="pink", snr_db=10.0),
        heard("a", 6, noise="music", snr_db=10.0),
        heard("a", 2, loss=0.05),
        heard("a", 9, loss=0.05, concealment="zero"),
        heard("a", 7, by_ear=True),
    ]
    found = word_summary(hearings)
    assert found["wer"] == 0.0
    assert found["wer_g711"] == pytest.approx(0.2)
    assert found["wer_g711_by_ear"] == pytest.approx(0.7)
    assert found["wer_noise_10db"] == pytest.approx(0.5)
    assert found["wer_loss_5"] == pytest.approx(0.2)
    # Only the clip that was also heard in noise.
    assert found["wer_noise_base"] == pytest.approx(0.1)
    assert found["wer_opus24"] is None and found["wer_noise_20db"] is None
    other = rate_where(hearings, group="another")
    assert other is None
