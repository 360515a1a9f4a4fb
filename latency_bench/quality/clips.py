"""What `offhook bench quality` says to the box: recordings by set, or synthesised sentences."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.backchannel import is_backchannel
from latency_bench.quality.degrade import resampled
from latency_bench.questions import MANIFEST, QUESTIONS, read_manifest, synthesised
from latency_bench.sounds import at_level, sound
from latency_bench.utterance import WIRE_RATE_HZ, SpeechError, read_wav
from latency_bench.wire import voiced_segments
from models.tts.base import SpeechSynthesizer

CLIP_HZ = 16_000
"""Recordings at other rates are brought to this one: it is the most that the box hears."""
INCOMPLETE = "s2i_incomplete"
NOT_CALLERS = ("agent_prompts", "two_party", "overlap", "noise", "hold_music")
"""Folders whose recordings are no caller's utterances."""
SYNTHESISED = "synthesised"
CUT_SENTENCES = (
    "I would like to order a large coffee with",
    "Could you please tell me the price of the",
    "I need to change my appointment to",
    "Can I book a table for two and",
)
"""Sentences that go on."""
BARGE_IN_WORDS = ("Stop.", "Wait.", "No.", "Hold on a moment.", "Excuse me, stop please.")
BACKCHANNELS = ("Mm-hm.", "Uh-huh.", "Right.", "Okay.", "Yeah.")
AGENT_SENTENCES = (
    "I can help you with your order, your booking, or a question about our opening hours.",
    "We are open from nine in the morning until six in the evening, Monday to Saturday.",
    "Please tell me your name and the number of your order, and I will look it up for you.",
    "Thank you, I have found your booking for two people tonight at half past seven.",
    "The large coffee costs three dollars and fifty cents, and the small one costs two dollars.",
)
NOISE_S = 20.0
TALKERS = 6
PITCHES = (0.8, 1.0, 1.2)
"""How much faster and higher a talker of the babble speaks than the voice does."""


@dataclass(frozen=True, slots=True)
class Clip:
    """One utterance at ``CLIP_HZ``. ``pcm``: int16 mono, shape (samples,)."""

    name: str
    group: str
    """The set that it belongs to."""
    text: str
    pcm: NDArray[np.int16]
    categories: frozenset[str] = frozenset()
    words: tuple[tuple[str, float, float], ...] = ()
    """Each word with its start and end in seconds, where known."""

    @property
    def span(self) -> tuple[int, int]:
        """First and last voiced sample; of nothing voiced, of the whole."""
        segments = voiced_segments(self.pcm, CLIP_HZ)
        return (segments[0].first, segments[-1].last) if segments else (0, len(self.pcm) - 1)


@dataclass(frozen=True, slots=True)
class Noise:
    """Something that is no caller's turn, at ``CLIP_HZ``, to be brought to any level."""

    name: str
    kind: str
    """``white``, ``pink``, ``babble``, ``music``, ``noise``, ``competing`` or ``cough``."""
    pcm: NDArray[np.int16]
    recorded: bool = False


@dataclass(slots=True)
class Material:
    """All that there is to say, and to make noise with."""

    speech: str
    """Which kind of speech it is, for people."""
    clips: list[Clip] = field(default_factory=list)
    incomplete: list[Clip] = field(default_factory=list)
    noises: list[Noise] = field(default_factory=list)
    barge_ins: list[Clip] = field(default_factory=list)
    backchannels: list[Clip] = field(default_factory=list)
    prompts: list[Clip] = field(default_factory=list)
    """The agent's own voice, then recorded prompts where there are any."""

    def noise(self, kind: str) -> NDArray[np.int16]:
        """The recorded ones of that kind end to end; where there are none, the generated one."""
        of_kind = [noise for noise in self.noises if noise.kind == kind]
        chosen = [noise for noise in of_kind if noise.recorded] or of_kind
        return np.concatenate([at_level(noise.pcm.astype(float), -26.0) for noise in chosen])


def of_each(clips: Sequence[Clip], count: int) -> list[Clip]:
    """Up to ``count`` of each set, spread evenly over it, the same on every run."""
    groups = dict.fromkeys(clip.group for clip in clips)
    return [
        clip
        for group in groups
        for clip in spread_over([clip for clip in clips if clip.group == group], count)
    ]


def spread_over(items: Sequence[Clip], count: int) -> list[Clip]:
    """``count`` of ``items`` at even distances; all where there are not more."""
    if len(items) <= count:
        return list(items)
    return [items[index * len(items) // count] for index in range(count)]


def gather(
    folder: Path | None,
    voice: SpeechSynthesizer,
    greeting: str,
    *,
    sentences: int = len(QUESTIONS),
    barge_in: bool = True,
) -> Material:
    """Recordings of ``folder`` where given, and what has to be synthesised with ``voice``.

    ``sentences``: how many questions to make where there are no recordings; six at least.
    ``barge_in``: also what is said by a speaking agent and over it. Raises SpeechError.
    """
    material = (
        Material(f"recordings of {folder.name}, by set")
        if folder is not None
        else Material("synthesised with the agent's own engine, faster and higher")
    )
    if folder is None:
        material.clips = _said(QUESTIONS[: max(TALKERS, sentences)], voice, SYNTHESISED)
        material.incomplete = _said(CUT_SENTENCES, voice, SYNTHESISED)
    else:
        _take_recordings(folder, material)
    if folder is None:
        material.noises.append(Noise("talkers", "babble", _babble(material.clips)))
    for kind in ("white", "pink", "babble", "music"):
        if kind in ("white", "pink") or not any(noise.kind == kind for noise in material.noises):
            made = sound(kind, NOISE_S, CLIP_HZ, -26.0)
            material.noises.append(Noise(kind, kind, made))
    if not barge_in:
        return material
    coughs = np.concatenate([sound("cough", 1.0, CLIP_HZ, -26.0, seed) for seed in range(10)])
    material.noises.append(Noise("cough", "cough", coughs))
    material.barge_ins += _said(BARGE_IN_WORDS, voice, SYNTHESISED)
    material.backchannels += _said(BACKCHANNELS, voice, SYNTHESISED)
    said = [_agent_says(text, voice) for text in (greeting, *AGENT_SENTENCES) if text]
    material.prompts = [*said, *material.prompts]
    return material


def _take_recordings(folder: Path, material: Material) -> None:
    entries = sorted(read_manifest(folder), key=lambda entry: str(entry.get("path")))
    for entry in entries:
        if not entry.get("path"):
            raise SpeechError(f"{folder / MANIFEST}: an entry without `path`; give its file")
        group = Path(str(entry["path"])).parts[0]
        categories = frozenset(entry.get("category") or ())
        if kind := _noise_kind(categories):
            pcm = _read(folder, entry)
            material.noises.append(Noise(Path(entry["path"]).stem, kind, pcm, recorded=True))
        elif not entry.get("transcript"):
            continue
        elif "agent-prompt" in categories:
            material.prompts.append(_clip(folder, entry, group, categories))
        elif group in NOT_CALLERS:
            continue
        elif "incomplete" in categories:
            material.incomplete.append(_clip(folder, entry, group, categories))
        else:
            clip = _clip(folder, entry, group, categories)
            material.clips.append(clip)
            if "barge-in-word" in categories:
                # "Yes" over the agent is said by one who listens.
                sign = is_backchannel(clip.text)
                (material.backchannels if sign else material.barge_ins).append(clip)
    if not material.clips:
        raise SpeechError(f"{folder / MANIFEST}: no recording with a transcript")


def _agent_says(text: str, voice: SpeechSynthesizer) -> Clip:
    pcm = np.concatenate([chunk.pcm for chunk in voice.synthesize(text)])
    return Clip(text, SYNTHESISED, text, resampled(pcm, voice.sample_rate_hz, CLIP_HZ))


def _babble(clips: Sequence[Clip]) -> NDArray[np.int16]:
    """``TALKERS`` who speak at once, each another sentence at another pitch, over and over."""
    count = round(NOISE_S * CLIP_HZ)
    total = np.zeros(count)
    for talker in range(TALKERS):
        clip = clips[talker * len(clips) // TALKERS]
        pcm = resampled(clip.pcm, round(CLIP_HZ * PITCHES[talker % len(PITCHES)]), CLIP_HZ)
        begin = talker * CLIP_HZ // 3
        total += np.roll(np.resize(pcm, count), begin)
    return at_level(total, -26.0)


def _noise_kind(categories: frozenset[str]) -> str | None:
    kinds = {
        "babble": "babble",
        "hold-music": "music",
        "competing-talker": "competing",
        "noise": "noise",
    }
    return next((kinds[name] for name in kinds if name in categories), None)


def _clip(folder: Path, entry: dict[str, Any], group: str, categories: frozenset[str]) -> Clip:
    words = tuple((str(w), float(a), float(b)) for w, a, b in entry.get("words") or ())
    pcm = _read(folder, entry)
    return Clip(str(entry["path"]), group, str(entry["transcript"]), pcm, categories, words)


def _read(folder: Path, entry: dict[str, Any]) -> NDArray[np.int16]:
    pcm, rate_hz = read_wav(folder / str(entry["path"]))
    return resampled(pcm, rate_hz, CLIP_HZ)


def _said(texts: Sequence[str], voice: SpeechSynthesizer, group: str) -> list[Clip]:
    return [
        Clip(text, group, text, resampled(said.pcm, WIRE_RATE_HZ, CLIP_HZ))
        for text, said in zip(texts, synthesised(texts, voice), strict=True)
    ]
