"""Where people's words begin and end: the bench against the energy detector of the manifest.

Neither is the truth: soft ends have none to the millisecond. The twin on made-up sound with exactly
known ends is in test_wire.py.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from latency_bench.utterance import read_wav
from latency_bench.wire import voiced_segments

SPEECH = Path(__file__).parents[3] / "shared" / "speech"
CLEAN_SNR_DB = 15.0
"""What `--speech` asks with (questions.py)."""
MEDIAN_MAX_MS = 30.0
FOUND_MIN = 0.95


def test_soft_ends_are_found_where_another_detector_finds_them() -> None:
    if not SPEECH.is_dir():
        pytest.skip("real recordings are not beside this checkout (../shared/speech)")
    entries = [
        entry
        for entry in json.loads((SPEECH / "manifest.json").read_text())
        if entry.get("speech_end") is not None and (entry.get("snr_db") or 0.0) >= CLEAN_SNR_DB
    ]
    starts_ms, ends_ms = [], []
    for entry in entries:
        pcm, rate_hz = read_wav(SPEECH / entry["path"])
        if found := voiced_segments(pcm, rate_hz):
            starts_ms.append((found[0].first / rate_hz - entry["speech_start"]) * 1000)
            ends_ms.append((found[-1].last / rate_hz - entry["speech_end"]) * 1000)
    told = f"{len(ends_ms)} of {len(entries)} recordings; "
    told += "; ".join(_told(name, of) for name, of in (("first", starts_ms), ("last", ends_ms)))
    assert len(entries) >= 50, told
    assert len(ends_ms) >= FOUND_MIN * len(entries), told
    for differences_ms in (starts_ms, ends_ms):
        assert np.median(np.abs(differences_ms)) <= MEDIAN_MAX_MS, told
        assert abs(np.median(differences_ms)) <= MEDIAN_MAX_MS, told


def _told(name: str, differences_ms: list[float]) -> str:
    sizes = np.abs(differences_ms)
    p50, p95 = np.percentile(sizes, [50, 95])
    return (
        f"{name} voiced sample: differences of P50 {p50:.1f}, P95 {p95:.1f} ms, "
        f"median {np.median(differences_ms):+.1f} ms"
    )
