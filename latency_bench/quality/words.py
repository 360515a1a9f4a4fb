"""What was heard in each condition -> tables and flat figures. Pure."""

from collections.abc import Sequence
from itertools import chain

from latency_bench.quality.cells import Row, Table, table, value_of, with_interval
from latency_bench.quality.line_codecs import CODECS, NONE, PCMU
from latency_bench.quality.word_errors import Rate, word_error_rate
from latency_bench.quality.word_quality import LOSS_RATES, SNRS_DB, Hearing


def rate_where(hearings: Sequence[Hearing], **wanted: object) -> Rate | None:
    """The word error rate over all conditions with these fields; None where there is none.

    ``group`` is the set's name; all other names are those of `word_quality.Condition`.
    """
    group = wanted.pop("group", None)
    return word_error_rate(
        [
            heard.count
            for heard in hearings
            if group in (None, heard.group)
            and all(getattr(heard.condition, name) == value for name, value in wanted.items())
        ]
    )


def word_tables(hearings: Sequence[Hearing]) -> list[Table]:
    """By codec and set, by noise, by loss; and all crossed, where that was asked for."""
    return [
        _codec_table(hearings),
        _noise_table(hearings),
        _loss_table(hearings),
        _crossed_table(hearings),
    ]


def word_summary(hearings: Sequence[Hearing]) -> dict[str, float | None]:
    """Flat word error rates."""
    found = {
        "wer": rate_where(hearings, dimension="codec", codec=NONE),
        "wer_g711": rate_where(hearings, dimension="base"),
        "wer_g711_by_ear": rate_where(hearings, dimension="ear"),
    }
    for codec in CODECS:
        if codec not in (NONE, PCMU):
            found[f"wer_{codec.name}"] = rate_where(hearings, dimension="codec", codec=codec)
    for snr_db in SNRS_DB:
        name = f"wer_noise_{snr_db:.0f}db"
        found[name] = rate_where(hearings, dimension="noise", snr_db=snr_db)
    for loss in LOSS_RATES:
        name = f"wer_loss_{loss * 100:.0f}"
        found[name] = rate_where(hearings, dimension="loss", loss=loss, concealment="door")
    found["wer_noise_base"] = _same_clips(hearings, "noise")
    found["wer_loss_base"] = _same_clips(hearings, "loss")
    return {name: value_of(rate) for name, rate in found.items()}


def _same_clips(hearings: Sequence[Hearing], dimension: str) -> Rate | None:
    """The base's rate on those clips alone that were heard in ``dimension``."""
    clips = {heard.clip for heard in hearings if heard.condition.dimension == dimension}
    return rate_where([heard for heard in hearings if heard.clip in clips], dimension="base")


def _codec_table(hearings: Sequence[Hearing]) -> Table:
    groups = list(dict.fromkeys(heard.group for heard in hearings))
    ways: list[tuple[str, dict[str, object]]] = [
        (codec.title, {"dimension": "base" if codec is PCMU else "codec", "codec": codec})
        for codec in CODECS
    ]
    ways.append(("as cut by the box", {"dimension": "ear"}))
    rows: list[Row] = []
    for title, wanted in ways:
        rates = [rate_where(hearings, group=group, **wanted) for group in [None, *groups]]
        if rates[0] is not None:
            rows.append([title, *map(with_interval, rates)])
    return table(
        "Word errors by codec and set",
        "Word error rate with its 95% interval (bootstrap over utterances), no noise, no loss. "
        "Each recording is given to the recogniser whole; in the last row, over G.711 mu-law, it "
        "is what the box's own voice and turn detection made of it.",
        ["codec", "all", *groups],
        rows,
    )


def _noise_table(hearings: Sequence[Hearing]) -> Table:
    noisy = [heard for heard in hearings if heard.condition.dimension == "noise"]
    base = with_interval(_same_clips(hearings, "noise"))
    rows: list[Row] = []
    for kind in dict.fromkeys(heard.condition.noise for heard in noisy):
        rates = [rate_where(noisy, noise=kind, snr_db=snr_db) for snr_db in SNRS_DB]
        rows.append([kind, base, *map(with_interval, rates)])
    return table(
        "Word errors in noise",
        "Over G.711 mu-law, all sets; the ratio is that of the voiced stretches to the noise. "
        "The clean column is the same utterances without noise.",
        ["noise", "clean", *(f"{snr_db:g} dB" for snr_db in SNRS_DB)],
        rows,
    )


def _loss_table(hearings: Sequence[Hearing]) -> Table:
    lossy = [heard for heard in hearings if heard.condition.dimension == "loss"]
    base = with_interval(_same_clips(hearings, "loss"))
    ways = dict.fromkeys((h.condition.loss_kind, h.condition.concealment) for h in lossy)
    rows: list[Row] = []
    for kind, concealment in ways:
        rates = [
            rate_where(lossy, loss_kind=kind, concealment=concealment, loss=loss)
            for loss in LOSS_RATES
        ]
        filled = "zero-filled" if concealment == "zero" else "as the SIP door does"
        rows.append([f"{kind}, {filled}", base, *map(with_interval, rates)])
    return table(
        "Word errors with lost packets",
        "20 ms packets of G.711 mu-law, lost at random or in bursts of four on average. The SIP "
        "door puts no sound in a lost packet's place: it closes up, and puts in silence once the "
        "stream has run late for a while. The 0% column is the same utterances without loss.",
        ["loss", "0%", *(f"{loss:.0%}" for loss in LOSS_RATES)],
        rows,
    )


def _crossed_table(hearings: Sequence[Hearing]) -> Table:
    by_condition: dict[object, list[Hearing]] = {}
    for heard in hearings:
        if heard.condition.dimension == "crossed":
            by_condition.setdefault(heard.condition, []).append(heard)
    rows: list[Row] = []
    for group in by_condition.values():
        condition, rate = group[0].condition, word_error_rate([heard.count for heard in group])
        titles = (condition.codec.title, condition.noise_title, condition.loss_title)
        rows.append(list(chain(titles, [with_interval(rate)])))
    return table(
        "Word errors, everything with everything",
        "All sets together.",
        ["codec", "noise", "loss", "word errors"],
        rows,
    )
