"""What a turn or a call consumed, measured."""

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Usage:
    """Measured consumption; two of them add up."""

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
    """Generated, but thrown away unspoken."""
    characters: int = 0
    """Characters given to the synthesiser."""
    vad_busy_s: float = 0.0
    turn_busy_s: float = 0.0
    stt_busy_s: float = 0.0
    llm_busy_s: float = 0.0
    tts_busy_s: float = 0.0
    discarded_busy_s: float = 0.0
    """Of the engines' busy seconds above, those whose result nobody used: guesses that the caller
    did not confirm, and answers never heard."""
    call_s: float = 0.0
    """Connected time; only a whole call has any."""

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            **{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)}
        )
