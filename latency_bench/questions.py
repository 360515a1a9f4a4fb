"""What to ask: one's own recording, a folder of recordings, or synthesised questions."""

import json
from collections.abc import Callable, Iterable
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from latency_bench.utterance import SpeechError, Utterance, prepare, read_wav
from models.tts.base import SpeechSynthesizer

MANIFEST = "manifest.json"
SPEECH_S = (1.0, 6.0)
"""Shorter is a word, longer is a story; neither is a question to a telephone agent."""
LONGEST_PAUSE_S = 0.5
"""A longer pause inside a sentence asks for a scenario of its own."""
LOWEST_SNR_DB = 15.0
PREFERRED = ("s2i", "librispeech", "an4")
"""Folders taken first, in turn: orders, read sentences, what callers spell and count."""
PACE = 1.12
"""Synthesised questions run this much faster and higher than the agent's own voice."""

QUESTIONS = (
    "Where is the nearest train station?",
    "What time do you open on Saturday?",
    "Can I book a table for two tonight?",
    "How much does the large coffee cost?",
    "Could you tell me your address, please?",
    "Do you have a parking space for my car?",
    "What is the weather like tomorrow?",
    "I would like to change my appointment.",
    "How long does the delivery take?",
    "Can you recommend a good book?",
    "What is the tallest mountain in the world?",
    "My order has not arrived yet.",
    "Is the swimming pool open today?",
    "How do I make a cup of green tea?",
    "Who can help me with my invoice?",
    "Please tell me a short story.",
    "When does the next bus leave?",
    "Can I pay with a credit card?",
    "What is your favourite colour?",
    "Do you speak any other languages?",
)


def from_wav(path: Path) -> Utterance:
    """One recording; its words are not known. Raises SpeechError."""
    pcm, rate_hz = read_wav(path)
    return prepare(pcm, rate_hz, expected=None, source=str(path))


def from_folder(folder: Path, count: int) -> list[Utterance]:
    """Up to ``count`` recordings that its manifest calls whole sentences of 1 to 6 s.

    The choice is the same on every run. Raises SpeechError.
    """
    chosen = choose(read_manifest(folder), count)
    if not chosen:
        raise SpeechError(
            f"{folder / MANIFEST}: no recording with a transcript and {SPEECH_S[0]:.0f} to "
            f"{SPEECH_S[1]:.0f} s of speech"
        )
    found = []
    for entry in chosen:
        path = folder / entry["path"]
        pcm, rate_hz = read_wav(path)
        found.append(prepare(pcm, rate_hz, expected=entry["transcript"], source=str(path)))
    return found


def choose(manifest: Iterable[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """The entries to ask: preferred folders in turn, each by path; then all others."""
    fit = sorted((e for e in manifest if _suits(e)), key=lambda e: str(e["path"]))
    sets = [[e for e in fit if _top(e) == name] for name in PREFERRED]
    in_turn = [e for group in zip_longest(*sets) for e in group if e is not None]
    return (in_turn + [e for e in fit if _top(e) not in PREFERRED])[:count]


def synthesised(
    texts: Iterable[str],
    voice: SpeechSynthesizer,
    progress: Callable[[str], None] = lambda text: None,
) -> list[Utterance]:
    """``texts`` in ``voice``, faster and higher than the agent's own by ``PACE``."""
    found = []
    for text in texts:
        progress(text)
        pieces = [chunk.pcm for chunk in voice.synthesize(text)]
        if not pieces:
            raise SpeechError(f"{voice.name} makes no sound of {text!r}; give other words")
        source = f"synthesised by {voice.name}, {PACE - 1:.0%} faster and higher than the agent"
        # Taken at a higher rate than it was made at: both pace and pitch rise.
        rate_hz = round(voice.sample_rate_hz * PACE)
        found.append(prepare(np.concatenate(pieces), rate_hz, expected=text, source=source))
    return found


def read_manifest(folder: Path) -> list[dict[str, Any]]:
    """What the folder's manifest lists. Raises SpeechError."""
    path = folder / MANIFEST
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SpeechError(
            f"{path}: no such file; it lists the recordings as "
            '[{"path": "a.wav", "transcript": "..."}, ...]'
        ) from None
    except (OSError, ValueError) as error:
        raise SpeechError(f"{path}: cannot be read: {error}") from error
    if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
        raise SpeechError(f"{path}: must be a list of objects, one a recording")
    return entries


def _suits(entry: dict[str, Any]) -> bool:
    if not entry.get("transcript") or not entry.get("path"):
        return False
    speech_s = _speech_s(entry)
    return (
        (speech_s is None or SPEECH_S[0] <= speech_s <= SPEECH_S[1])
        and "incomplete" not in (entry.get("category") or ())
        and (entry.get("max_pause") or 0.0) <= LONGEST_PAUSE_S
        and (entry.get("snr_db") or LOWEST_SNR_DB) >= LOWEST_SNR_DB
    )


def _speech_s(entry: dict[str, Any]) -> float | None:
    if entry.get("speech_end") is not None:
        return float(entry["speech_end"]) - float(entry.get("speech_start") or 0.0)
    return float(entry["duration"]) if entry.get("duration") is not None else None


def _top(entry: dict[str, Any]) -> str:
    return Path(str(entry["path"])).parts[0]
