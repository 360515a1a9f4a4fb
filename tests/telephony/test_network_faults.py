"""Calls between two network namespaces whose wire loses, delays and reorders packets."""

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray
from sip_peers import loudest_hz

from latency_bench.fault_call import LINE_HZ
from latency_bench.impaired_link import Fault, Impairment, why_not
from latency_bench.network_faults import FAULTS, Heard, delay_of, place_call, timeline
from latency_bench.utterance import Utterance

SAID_HZ, BACK_HZ = 1000.0, 440.0
SAID_S = 4.0
OUTAGE = Fault("2 s outage", outage_s=2.0, outage_after_s=1.3)
"""From the INVITE on: the call is heard before and after."""
AT_ONCE = 4


# -- the wire, without a network


def arrivals(fault: Fault, count: int = 4000, seed: int = 1) -> list[float | None]:
    wire = Impairment(fault, seed)
    return [wire.arrival_s(number * 0.02) for number in range(count)]


@pytest.mark.parametrize("loss", [0.01, 0.05, 0.10])
def test_the_wire_loses_its_share(loss: float) -> None:
    lost = sum(arrival is None for arrival in arrivals(Fault("loss", loss=loss)))
    assert lost / 4000 == pytest.approx(loss, abs=0.015)
    assert arrivals(Fault("loss", loss=loss)) == arrivals(Fault("loss", loss=loss))


@pytest.mark.parametrize("jitter_ms", [30, 60])
def test_jitter_is_even_and_overtakes(jitter_ms: int) -> None:
    found = arrivals(Fault("jitter", delay_ms=jitter_ms, jitter_ms=jitter_ms))
    late_ms = [1000 * (at - n * 0.02) for n, at in enumerate(found) if at is not None]
    assert 0 <= min(late_ms) < 2 and 2 * jitter_ms - 2 < max(late_ms) <= 2 * jitter_ms + 1e-6
    assert np.mean(late_ms) == pytest.approx(jitter_ms, rel=0.05)
    assert any(a > b for a, b in itertools.pairwise(at for at in found if at is not None))


def test_reordered_packets_are_not_delayed() -> None:
    found = arrivals(Fault("reorder", delay_ms=40, reorder=0.05))
    early = sum(at == pytest.approx(n * 0.02) for n, at in enumerate(found))
    assert early / 4000 == pytest.approx(0.05, abs=0.015)


def test_an_outage_loses_everything_for_its_time() -> None:
    fault = Fault("outage", outage_s=2.0, outage_after_s=18.0, outage_every_s=20.0)
    found = arrivals(fault, 2000)
    silent = [n * 0.02 for n, at in enumerate(found) if at is None]
    assert len(silent) == 200
    assert min(silent) == pytest.approx(18.0) and max(silent) == pytest.approx(39.98)


# -- finding what was said in what was heard


def test_what_was_heard_is_laid_over_what_was_said() -> None:
    random = np.random.default_rng(1)
    bursts = [
        Utterance((random.normal(0, 4000, 48_000 * (1 + n % 3))).astype(np.int16), 0, 1, "a", "b")
        for n in range(5)
    ]
    said, places = timeline(bursts)
    assert len(places) == 5 and all(a.stop <= b.start for a, b in itertools.pairwise(places))
    for delay in (0, 1600, -800):
        heard = np.roll(said, delay)
        assert delay_of(heard, said) == pytest.approx(delay, abs=160)


# -- whole calls


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Heard]]:
    """Every fault's call, several at once; each says a tone for some seconds and hears another."""
    if reason := why_not():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("faults")
    seconds = np.arange(int(SAID_S * LINE_HZ)) / LINE_HZ
    said = folder / "said"
    said.write_bytes((8000 * np.sin(2 * np.pi * SAID_HZ * seconds)).astype(np.int16).tobytes())

    def place(fault: Fault) -> Heard:
        return place_call(fault, said, SAID_S, folder)

    faults = [fault for fault in FAULTS if not fault.outage_s]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {heard.fault.name: heard for heard in pool.map(place, [OUTAGE, *faults])}


def tone_share(pcm: NDArray[np.int16], hz: float) -> float:
    """The share of tenths of a second that hold the tone."""
    size = LINE_HZ // 10
    blocks = pcm[: len(pcm) // size * size].reshape(-1, size).astype(float)
    heard = [
        np.sqrt(np.mean(block**2)) > 1000 and abs(loudest_hz(block, LINE_HZ) - hz) < 60
        for block in blocks
    ]
    return float(np.mean(heard))


@pytest.mark.parametrize("name", [fault.name for fault in FAULTS if not fault.outage_s])
def test_a_call_survives(calls: dict[str, Heard], name: str) -> None:
    heard = calls[name]
    assert heard.said_all, heard.cause
    assert heard.cause == "caller hung up"
    assert tone_share(heard.pcm, SAID_HZ) > 0.7
    assert tone_share(heard.heard_back, BACK_HZ) > 0.7
    # What is lost is made up for with silence: time goes on as it did.
    assert len(heard.pcm) / LINE_HZ == pytest.approx(SAID_S, abs=1.5)
    if heard.fault.loss:
        assert heard.lost > 0
    else:
        assert heard.lost == 0


def test_audio_resumes_after_an_outage(calls: dict[str, Heard]) -> None:
    heard = calls[OUTAGE.name]
    assert heard.said_all, heard.cause
    assert heard.cause == "caller hung up"
    # Two seconds of a hundred packets a second, both ways together.
    assert heard.lost > 150
    for pcm, hz in ((heard.pcm, SAID_HZ), (heard.heard_back, BACK_HZ)):
        assert tone_share(pcm[: LINE_HZ // 2], hz) > 0.5
        assert tone_share(pcm, hz) < 0.8
        assert tone_share(pcm[-LINE_HZ:], hz) > 0.4
