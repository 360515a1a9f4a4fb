"""Scenario -> what one call's caller really says: synthesised, or recordings of people."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from latency_bench.part import Part, spoken_part
from latency_bench.questions import MANIFEST, choose, read_manifest, synthesised
from latency_bench.scenario import Scenario, Step
from latency_bench.sip.rtp_keys import PAUSE_S, PRESS_S
from latency_bench.sounds import at_level, sound
from latency_bench.utterance import WIRE_RATE_HZ, SpeechError, Utterance, prepare, read_wav
from models.tts.base import SpeechSynthesizer

BACKGROUND_S = 20.0
"""A background's length before it begins again."""
FADE_S = 0.005
"""A recording that is cut between two words fades so long, so that the cut does not click."""
CUT_SHARE = 0.6
"""Where a recording is cut in two: after about this share of its words."""
RECORDED_SOUNDS = {"babble": "babble", "music": "hold-music"}
"""Categories of the manifest that stand for a sound."""


@dataclass(slots=True)
class Cast:
    """Makes parts; what was made once is kept. ``folder``: recordings with a manifest.

    ``keys``: whether the line carries keys; where not, what they mean is said.
    """

    voice: SpeechSynthesizer | None
    folder: Path | None = None
    seed: int = 0
    _made: dict[str, Utterance] = field(default_factory=dict)
    _manifest: list[dict[str, Any]] | None = None
    _kinds: set[str] = field(default_factory=set)

    @property
    def speech(self) -> str:
        """Which kinds of speech were used so far, for people."""
        return " and ".join(sorted(self._kinds)) or "no speech"

    def parts(self, scenario: Scenario, place: Path, call: int, *, keys: bool = True) -> list[Part]:
        """The parts of call number ``call``. Raises SpeechError.

        ``place``: the scenario's file, beside which its recordings lie.
        """
        found: list[Part] = []
        spoken = call * sum(step.repeat for step in scenario.steps)
        for number, step in enumerate(scenario.steps):
            for again in range(step.repeat):
                found += self._step(step, number, place.parent, spoken, keys=keys, again=again)
                spoken += 1
        return found

    def background(self, scenario: Scenario) -> NDArray[np.int16] | None:
        """What lies under the whole call, at ``WIRE_RATE_HZ``; None for nothing."""
        if scenario.background is None:
            return None
        return self._sound(
            scenario.background.sound, BACKGROUND_S, scenario.background.level_dbfs, self.seed
        )

    def _step(
        self, step: Step, number: int, folder: Path, turn: int, *, keys: bool, again: int
    ) -> list[Part]:
        common: dict[str, Any] = {
            # A step said again is a turn of its own, after the agent's answer to the one before.
            "when": step.when if again == 0 else "after",
            "at_s": step.at_s,
            "owes_answer": step.owes_answer,
            "wait_s": step.wait_s,
        }
        if step.sound is not None:
            pcm = self._sound(step.sound, step.seconds, step.level_dbfs, self.seed + turn)
            return [_silent_or_noise("noise", pcm, number, step.sound, common)]
        if step.silence_s is not None:
            pcm = np.zeros(max(1, round(step.silence_s * WIRE_RATE_HZ)), np.int16)
            return [_silent_or_noise("silence", pcm, number, "silence", common)]
        if step.keys is not None and (keys or step.say is None):
            # Silence beside the presses, so that they end when the last key is let go.
            pressing_s = len(step.keys) * (PRESS_S + PAUSE_S) - PAUSE_S
            pcm = np.zeros(round(pressing_s * WIRE_RATE_HZ), np.int16)
            part = _silent_or_noise("keys", pcm, number, "keys", common)
            return [replace(part, keys=step.keys)]
        pieces = self._pieces(step, folder, turn)
        parts = [spoken_part(piece, number, **common) for piece in pieces]
        return [
            part if index == 0 else _continued(part, step.pause_s)
            for index, part in enumerate(parts)
        ]

    def _pieces(self, step: Step, folder: Path, turn: int) -> list[Utterance]:
        if step.wav is not None:
            pcm, rate_hz = read_wav(folder / step.wav)
            self._kinds.add("recordings")
            return [prepare(pcm, rate_hz, expected=step.words, source=str(step.wav))]
        assert step.say is not None
        if self.folder is not None and step.role != "exact":
            recorded = self._recorded(step, len(step.say), turn)
            if recorded:
                self._kinds.add(f"recordings of people ({self.folder.name})")
                return recorded
        return [self._said(text) for text in step.say]

    def _said(self, text: str) -> Utterance:
        if text not in self._made:
            if self.voice is None:
                raise SpeechError(f"no voice to say {text!r} with: name one with --voice")
            self._made[text] = synthesised([text], self.voice)[0]
        self._kinds.add(f"speech {self._made[text].source}")
        return self._made[text]

    def _recorded(self, step: Step, pieces: int, turn: int) -> list[Utterance]:
        """A recording for the step, cut in ``pieces``; empty where none suits."""
        entries = self._entries()
        if step.role == "incomplete":
            found = [e for e in entries if "incomplete" in (e.get("category") or ())]
        elif pieces > 1 or step.role == "order":
            found = [e for e in choose(entries, len(entries)) if len(e.get("words") or ()) >= 6]
        else:
            found = choose(entries, len(entries))
        if not found or self.folder is None:
            return []
        entry = found[turn % len(found)]
        path = self.folder / entry["path"]
        pcm, rate_hz = read_wav(path)
        if pieces == 1:
            return [_prepared(pcm, rate_hz, entry["transcript"], path)]
        if pieces > 2:
            raise SpeechError(f"{path}: a recording can be said in two pieces, not in {pieces}")
        return _in_two(pcm, rate_hz, entry, path)

    def _sound(self, kind: Any, seconds: float, level_dbfs: float, seed: int) -> NDArray[np.int16]:
        category = RECORDED_SOUNDS.get(kind)
        if self.folder is not None and category is not None:
            for entry in self._entries():
                if category in (entry.get("category") or ()):
                    pcm, rate_hz = read_wav(self.folder / entry["path"])
                    return _lasting(pcm, rate_hz, seconds, level_dbfs)
        return sound(kind, seconds, WIRE_RATE_HZ, level_dbfs, seed)

    def _entries(self) -> list[dict[str, Any]]:
        if self._manifest is None:
            assert self.folder is not None
            self._manifest = read_manifest(self.folder)
            if not choose(self._manifest, 1):
                raise SpeechError(f"{self.folder / MANIFEST}: no recording that can be a question")
        return self._manifest


def _continued(part: Part, pause_s: float) -> Part:
    return replace(part, when="continues", at_s=pause_s)


def _silent_or_noise(
    kind: Any, pcm: NDArray[np.int16], step: int, source: str, common: Mapping[str, Any]
) -> Part:
    return Part(step, kind, pcm, WIRE_RATE_HZ, 0, len(pcm) - 1, **common, source=source)


def _prepared(pcm: NDArray[np.int16], rate_hz: int, text: str | None, path: Path) -> Utterance:
    return prepare(pcm, rate_hz, expected=text, source=str(path))


def _in_two(
    pcm: NDArray[np.int16], rate_hz: int, entry: Mapping[str, Any], path: Path
) -> list[Utterance]:
    """The recording cut between two words, by the times that the manifest gives."""
    words: list[tuple[str, float, float]] = [tuple(word) for word in entry["words"]]
    at = max(1, min(len(words) - 1, round(len(words) * CUT_SHARE)))
    cut = round((words[at - 1][2] + words[at][1]) / 2 * rate_hz)
    texts = [" ".join(word for word, _, _ in part) for part in (words[:at], words[at:])]
    return [
        _prepared(_faded(piece, rate_hz), rate_hz, text, path)
        for piece, text in zip((pcm[:cut], pcm[cut:]), texts, strict=True)
    ]


def _faded(pcm: NDArray[np.int16], rate_hz: int) -> NDArray[np.int16]:
    size = min(round(FADE_S * rate_hz), len(pcm) // 2)
    weight = np.ones(len(pcm))
    if size:
        weight[:size] = np.linspace(0, 1, size)
        weight[-size:] = np.linspace(1, 0, size)
    return np.rint(pcm * weight).astype(np.int16)


def _lasting(
    pcm: NDArray[np.int16], rate_hz: int, seconds: float, level_dbfs: float
) -> NDArray[np.int16]:
    """``pcm`` over and over for ``seconds``, at the wire's rate and this level."""
    at_wire = soxr.resample(pcm.astype(np.float64), rate_hz, WIRE_RATE_HZ)
    count = max(1, round(seconds * WIRE_RATE_HZ))
    return at_level(np.resize(at_wire, count), level_dbfs)
