"""Bytes of media, reported now and then."""

from hypothesis import given, settings
from hypothesis import strategies as st

from telephony.wire_bytes import WireBytes


def test_before_any_report_the_codec_says_how_many() -> None:
    wire = WireBytes(100.0)
    assert wire.at(100.0) == (0, 0)
    assert wire.at(102.5) == (20_000, 20_000)
    assert WireBytes(100.0, 0.0).at(160.0) == (0, 0)


def test_reports_count_and_the_time_between_goes_on_at_their_rate() -> None:
    wire = WireBytes(100.0)
    wire.report(20_000, 30_000, 105.0)
    assert wire.at(105.0) == (20_000, 30_000)
    assert wire.at(106.0) == (24_000, 36_000)
    wire.report(20_000, 40_000, 110.0)
    # What was told is not taken back.
    assert wire.at(110.0) == (24_000, 40_000)
    assert wire.at(115.0) == (24_000, 50_000)


def test_a_moment_between_two_reports_tells_no_rate() -> None:
    wire = WireBytes(100.0)
    wire.report(40_000, 40_000, 105.0)
    wire.report(41_000, 41_000, 105.001)
    assert wire.at(106.001) == (49_000, 49_000)


def test_streams_that_were_replaced_lose_nothing() -> None:
    wire = WireBytes(100.0)
    wire.report(40_000, 40_000, 105.0)
    wire.report(8_000, 8_000, 106.0)
    assert wire.at(106.0) == (48_000, 48_000)


def test_after_the_end_nothing_is_carried() -> None:
    wire = WireBytes(100.0)
    wire.report(40_000, 41_000, 105.0)
    wire.end(105.0)
    wire.report(90_000, 90_000, 106.0)
    wire.end(107.0)
    assert wire.at(200.0) == (40_000, 41_000)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["report", "at", "end"]),
            st.integers(0, 10**7),
            st.integers(0, 10**7),
            st.floats(0, 30),
        ),
        max_size=20,
    )
)
def test_it_never_falls(steps: list[tuple[str, int, int, float]]) -> None:
    wire, now_s, told = WireBytes(0.0), 0.0, (0, 0)
    for what, received, sent, after_s in steps:
        now_s += after_s
        if what == "report":
            wire.report(received, sent, now_s)
        elif what == "end":
            wire.end(now_s)
        seen = wire.at(now_s)
        assert seen[0] >= told[0] and seen[1] >= told[1]
        told = seen
