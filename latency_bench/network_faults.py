"""`offhook bench faults`: what bad networks do to a call over SIP and to its recognition.

Each condition has two network namespaces and a wire of its own between them. Recordings are
said over G.711 from one end to the SIP door at the other, which keeps what it hears; that is then
recognised and compared with what was said.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from agent.config import load_config
from latency_bench.fault_call import LINE_HZ
from latency_bench.impaired_link import ADDRESSES, Fault, Link, LinkFailed, why_not
from latency_bench.machine import machine_facts
from latency_bench.questions import from_folder
from latency_bench.utterance import WIRE_RATE_HZ, SpeechError, Utterance
from latency_bench.words import word_error_rate
from models.loading import load_stt
from models.stt.base import SpeechRecognizer

CLEAN = Fault("clean")
FAULTS = (
    CLEAN,
    Fault("1% loss", loss=0.01),
    Fault("5% loss", loss=0.05),
    Fault("10% loss", loss=0.10),
    Fault("30 ms jitter", delay_ms=30, jitter_ms=30),
    Fault("60 ms jitter", delay_ms=60, jitter_ms=60),
    Fault("5% reordered by 40 ms", delay_ms=40, reorder=0.05),
    Fault("2 s outage every 20 s", outage_s=2.0, outage_after_s=10.0, outage_every_s=20.0),
)
AT_ONCE = 4
"""Calls under way together; each takes a few hundredths of a core."""
GAP_S = 1.2
"""Silence before each recording; half of it belongs to either neighbour."""
CALL_MARGIN_S = 40.0
"""For setting a call up and ending it while packets are lost."""
FRAME_HZ = 50
"""How finely the two ends' audio is laid over each other."""


@dataclass(frozen=True, slots=True)
class Heard:
    """One call through one fault."""

    fault: Fault
    pcm: NDArray[np.int16]
    """What the door heard, shape (samples,), at ``LINE_HZ``."""
    heard_back: NDArray[np.int16]
    """What the caller heard: the door's tone."""
    cause: str
    """How the door says that the call ended."""
    said_all: bool
    carried: int
    lost: int
    """Packets, both ways."""


def place_call(fault: Fault, speech: Path, duration_s: float, folder: Path, seed: int = 0) -> Heard:
    """Says ``speech`` (raw, ``LINE_HZ``, ``duration_s`` long) through ``fault``.

    ``folder`` keeps what both ends heard. Raises LinkFailed.
    """
    name = fault.name.replace(" ", "-").replace("%", "")
    far, near = folder / f"{name}.heard", folder / f"{name}.back"
    program = [sys.executable, "-m", "latency_bench.fault_call"]
    limit_s = duration_s + CALL_MARGIN_S
    with Link(fault, seed) as link, (folder / f"{name}.log").open("w") as log:
        options = ("--limit", str(limit_s))
        answering = link.start(
            0,
            [*program, "--host", ADDRESSES[0], "--record", str(far), *options, "answer"],
            stderr=log,
        )
        calling = None
        try:
            assert answering.stdout is not None
            port = answering.stdout.readline().removeprefix("ready ").strip()
            target = f"sip:agent@{ADDRESSES[0]}:{port}"
            calling = link.start(
                1,
                [*program, "--host", ADDRESSES[1], "--record", str(near), *options]
                + ["call", target, str(speech)],
                stderr=log,
            )
            called, _ = calling.communicate(timeout=limit_s)
            answered, _ = answering.communicate(timeout=CALL_MARGIN_S)
        except subprocess.TimeoutExpired as error:
            raise LinkFailed(f"{fault.name}: the call did not end; see {log.name}") from error
        finally:
            for process in (answering, calling):
                if process is not None and process.poll() is None:
                    process.kill()
                    process.communicate()
        try:
            caller, door = json.loads(called), json.loads(answered)
        except ValueError as error:
            said = Path(log.name).read_text()[-2000:]
            raise LinkFailed(f"{fault.name}: an end of the call failed: {said}") from error
        return Heard(
            fault,
            _raw(far),
            _raw(near),
            door["cause"] if caller["said_all"] else caller["cause"],
            caller["said_all"],
            link.carried,
            link.lost,
        )


def timeline(utterances: Sequence[Utterance]) -> tuple[NDArray[np.int16], list[slice]]:
    """All utterances one after another at ``LINE_HZ``, and where each of them is."""
    gap = np.zeros(int(GAP_S * LINE_HZ), np.int16)
    pieces, places, at = [], [], 0
    for utterance in utterances:
        speech = soxr.resample(utterance.pcm, WIRE_RATE_HZ, LINE_HZ).astype(np.int16)
        pieces += [gap, speech]
        # With half of the silence on either side, which takes up what the network delays.
        places.append(slice(at + len(gap) // 2, at + len(gap) + len(speech) + len(gap) // 2))
        at += len(gap) + len(speech)
    return np.concatenate([*pieces, gap]), places


def delay_of(heard: NDArray[np.int16], said: NDArray[np.int16]) -> int:
    """By how many samples ``heard`` runs behind ``said``, to the nearest 20 ms."""
    size = max(len(heard), len(said)) // (LINE_HZ // FRAME_HZ) + 1
    length = 1 << (2 * size - 1).bit_length()
    spectra = [np.fft.rfft(_loudness(pcm, size), length) for pcm in (heard, said)]
    match = np.fft.irfft(spectra[0] * np.conj(spectra[1]), length)
    best = int(np.argmax(match))
    return (best - length if best > length // 2 else best) * (LINE_HZ // FRAME_HZ)


def recognised(
    heard: NDArray[np.int16],
    said: NDArray[np.int16],
    places: Sequence[slice],
    recogniser: SpeechRecognizer,
) -> list[str]:
    """What the recogniser makes of each utterance in ``heard``."""
    delay = delay_of(heard, said)
    texts = []
    for place in places:
        piece = heard[max(0, place.start + delay) : max(0, place.stop + delay)]
        texts.append(recogniser.transcribe(piece, LINE_HZ).text if len(piece) else "")
    return texts


def run(args: argparse.Namespace) -> int:
    """Runs `offhook bench faults`; returns the exit status."""
    if reason := why_not():
        print(f"offhook: {reason}", file=sys.stderr)
        return 2
    console = Console(stderr=True)
    config = load_config(args.config, dict(os.environ))
    try:
        report = _bench(args.speech, args.utterances, config.models.stt, console)
    except (SpeechError, LinkFailed) as error:
        print(f"offhook: {error}", file=sys.stderr)
        return 2
    if args.json is not None:
        args.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    _show(report)
    return 0 if all(found["survived"] for found in report["conditions"].values()) else 1


def _bench(speech: Path, count: int, stt: str, console: Console) -> dict[str, Any]:
    utterances = from_folder(speech, count)
    said, places = timeline(utterances)
    duration_s = len(said) / LINE_HZ
    minutes = duration_s * -(-len(FAULTS) // AT_ONCE) / 60
    console.print(
        f"{len(utterances)} recordings through {len(FAULTS)} networks, {AT_ONCE} at once: "
        f"about {minutes:.0f} min, then recognition"
    )
    with tempfile.TemporaryDirectory(prefix="offhook-faults-") as folder:
        raw = Path(folder) / "said"
        raw.write_bytes(said.tobytes())
        with ThreadPoolExecutor(AT_ONCE) as calls:
            placed = [
                calls.submit(place_call, fault, raw, duration_s, Path(folder)) for fault in FAULTS
            ]
            heard = [call.result() for call in placed]
    expected = [utterance.expected or "" for utterance in utterances]
    recogniser = load_stt(stt)
    try:
        conditions = {
            call.fault.name: {
                "wer": word_error_rate(expected, recognised(call.pcm, said, places, recogniser)),
                "survived": call.said_all,
                "cause": call.cause,
                "lost_share": call.lost / max(1, call.lost + call.carried),
                "heard_s": len(call.pcm) / LINE_HZ,
            }
            for call in heard
        }
    finally:
        recogniser.close()
    return {
        "machine": machine_facts({"stt": stt}),
        "utterances": len(utterances),
        "said_s": duration_s,
        "conditions": conditions,
    }


def _show(report: dict[str, Any]) -> None:
    clean = report["conditions"][CLEAN.name]["wer"]
    table = Table(title=f"Recognition over bad networks, {report['utterances']} recordings")
    for name in ("network", "WER", "against clean", "packets lost", "call"):
        table.add_column(name, justify="left" if name in ("network", "call") else "right")
    for name, found in report["conditions"].items():
        wer = found["wer"]
        table.add_row(
            name,
            f"{wer:.1%}",
            "" if name == CLEAN.name else f"{100 * (wer - clean):+.1f} points",
            f"{found['lost_share']:.1%}",
            "survived" if found["survived"] else found["cause"],
        )
    Console().print(table)


def _loudness(pcm: NDArray[np.int16], size: int) -> NDArray[np.float64]:
    step = LINE_HZ // FRAME_HZ
    whole = pcm[: len(pcm) // step * step].astype(np.float64).reshape(-1, step)
    level = np.log1p(np.sqrt((whole**2).mean(axis=1)))
    return np.pad(level - level.mean(), (0, size - len(level)))


def _raw(path: Path) -> NDArray[np.int16]:
    return np.fromfile(path, np.int16) if path.exists() else np.zeros(0, np.int16)
