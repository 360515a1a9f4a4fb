"""Marks on the monotonic clock -> one turn's trace. Pure."""

from dataclasses import dataclass

STAGES = (
    "end_of_turn",
    "transcript",
    "first_token",
    "first_clause",
    "first_audio",
    "first_packet",
)
"""The waterfall's steps, each measured from the mark before it that is known."""


@dataclass(frozen=True, slots=True)
class TurnTrace:
    """When each thing happened in one turn, in seconds of ``time.monotonic()``.

    ``None``: it did not happen (the greeting has no speech before it; a turn that was
    barged into may have no packet). Marks need not rise: a guess may be ready before
    the turn is judged over.
    """

    turn: int
    """1 for the first answer; 0 for the greeting."""
    speech_end_s: float | None = None
    """The caller's last voiced window, as the box heard it."""
    end_of_turn_s: float | None = None
    """The decision that the caller had finished."""
    transcript_s: float | None = None
    first_token_s: float | None = None
    first_clause_s: float | None = None
    first_audio_s: float | None = None
    """The first synthesised samples were ready."""
    first_packet_s: float | None = None
    """The first 20 ms of the answer were handed to the wire."""
    interrupted: bool = False
    decode_s: float | None = None
    """The recogniser was asked for the words; not a step, as those that follow: they overlap."""
    asked_s: float | None = None
    """The model was asked for the answer; a guess, before the turn was judged over."""
    answered_s: float | None = None
    """The model was done, or cancelled."""
    last_audio_s: float | None = None
    """The last samples that were wanted were synthesised."""
    last_packet_s: float | None = None
    """The latest of the answer that was handed to the wire."""

    @property
    def total_ms(self) -> float | None:
        """End of speech to first packet, in milliseconds, as seen from inside."""
        if self.speech_end_s is None or self.first_packet_s is None:
            return None
        return (self.first_packet_s - self.speech_end_s) * 1000

    @property
    def zero_s(self) -> float | None:
        """The end of speech, or the earliest mark; None where nothing is known."""
        if self.speech_end_s is not None:
            return self.speech_end_s
        return min(self._known_s().values(), default=None)

    def at_ms(self) -> dict[str, float]:
        """Each known mark in milliseconds after ``zero_s``."""
        start = self.zero_s or 0.0
        return {stage: (at - start) * 1000 for stage, at in self._known_s().items()}

    def stages_ms(self) -> dict[str, float]:
        """What each step added, in milliseconds: never negative, and they sum to the last mark.

        A step that was ready before an earlier one in the list added nothing.
        """
        reached = 0.0
        steps: dict[str, float] = {}
        for stage, at in self.at_ms().items():
            steps[stage] = max(0.0, at - reached)
            reached = max(reached, at)
        return steps

    def _known_s(self) -> dict[str, float]:
        return {s: at for s in STAGES if (at := getattr(self, f"{s}_s")) is not None}
