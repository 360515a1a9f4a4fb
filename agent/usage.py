"""What a turn or a call consumed, measured."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from operator import add, attrgetter, sub
from typing import Any

STAGES = ("turn_taking", "stt", "llm", "tts")
"""Where engine work is done; `Usage.busy_s` and `Usage.wasted_s` name them so."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Measured consumption; two of them add up.

    Busy seconds are of the engines' lanes: the wall time of a job on its worker; of a step that
    several calls shared, the part that their share of the work makes. A stage that was thrown
    away (a guess nobody confirmed, speech never heard) is in its busy seconds *and* in its wasted
    ones.
    """

    audio_in_s: float = 0.0
    """Seconds of the caller's audio that the recogniser was given."""
    audio_out_s: float = 0.0
    """Seconds of the agent's audio that were synthesised."""
    audio_heard_s: float = 0.0
    """Of these, seconds that went out on the wire."""
    prompt_tokens: int = 0
    """Whole prompts, cached tokens included."""
    cached_tokens: int = 0
    generated_tokens: int = 0
    discarded_tokens: int = 0
    """Thrown away unspoken: of answers that were interrupted, which ``generated_tokens`` holds too,
    and of guesses, which it does not: a rented model would not have been asked for them."""
    characters: int = 0
    """Characters given to the synthesiser."""
    turns: int = 0
    """Answers that the caller heard something of, the greeting not counted."""
    vad_busy_s: float = 0.0
    turn_busy_s: float = 0.0
    stt_busy_s: float = 0.0
    llm_busy_s: float = 0.0
    tts_busy_s: float = 0.0
    turn_wasted_s: float = 0.0
    stt_wasted_s: float = 0.0
    llm_wasted_s: float = 0.0
    tts_wasted_s: float = 0.0
    cpu_s: float = 0.0
    """Processor seconds of the whole process, the wire and the bookkeeping included: this call's
    part of them."""
    gpu_s: float = 0.0
    """Seconds that a GPU was busy for it; 0 without one."""
    energy_j: float = 0.0
    """Joules above the idle draw, where a counter of the machine was read (NVML, RAPL); 0: none
    was, and the power model tells."""
    bytes_in: int = 0
    """Media from the caller as the wire carried it: RTP payloads, or a carrier's messages with
    sound in them; the headers of RTP and below are not counted."""
    bytes_out: int = 0
    """The same towards the caller, silence that was sent included."""
    telephony_s: float = 0.0
    """Connected time over a telephone line (SIP or a carrier's stream); a browser has none."""
    dialled_s: float = 0.0
    """Of that, the time of calls that the box placed."""
    call_s: float = 0.0
    """Connected time; only a whole call has any."""

    @property
    def busy_s(self) -> dict[str, float]:
        """Engine-seconds by stage, what was thrown away included."""
        return {
            "turn_taking": self.vad_busy_s + self.turn_busy_s,
            "stt": self.stt_busy_s,
            "llm": self.llm_busy_s,
            "tts": self.tts_busy_s,
        }

    @property
    def wasted_s(self) -> dict[str, float]:
        """Of the engine-seconds, those whose result nobody used, by stage."""
        return {
            "turn_taking": self.turn_wasted_s,
            "stt": self.stt_wasted_s,
            "llm": self.llm_wasted_s,
            "tts": self.tts_wasted_s,
        }

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(*map(add, _amounts(self), _amounts(other)))

    def __sub__(self, other: "Usage") -> "Usage":
        """What was consumed since, where ``other`` is the same consumption earlier."""
        return Usage(*map(sub, _amounts(self), _amounts(other)))

    @classmethod
    def from_json(cls, written: Mapping[str, Any]) -> "Usage":
        """From its fields by name, as ``dataclasses.asdict`` gives them; unknown ones, of another
        version, are left out. Raises TypeError or ValueError for what is no number."""
        known: dict[str, Callable[[Any], Any]] = {
            f.name: int if isinstance(f.default, int) else float for f in fields(cls)
        }
        return cls(**{name: known[name](value) for name, value in written.items() if name in known})


_amounts: Callable[[Usage], tuple[float, ...]] = attrgetter(*(f.name for f in fields(Usage)))
"""All of one, in the order of its fields: a call adds up several a second."""
