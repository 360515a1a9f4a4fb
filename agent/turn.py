"""One turn while it happens: marks and measurements gathered by the stages."""

from dataclasses import dataclass, field

from agent.answering import Answering
from agent.clause_voice import ClauseVoice
from agent.conversation import SpokenAnswer
from agent.latency import TurnTrace
from agent.menu import Choice
from agent.usage import Usage
from models.llm.base import GenerationUsage


@dataclass(slots=True, eq=False)
class Turn:
    """The stages write to it as the turn proceeds; ``trace`` and ``usage`` freeze it.

    All times are seconds of ``time.monotonic()``.
    """

    number: int
    """0 for the greeting, then 1, 2, ..."""
    spoken: SpokenAnswer
    heard: str = ""
    answer: str = ""
    """What the agent meant to say."""
    interrupted: bool = False
    apologised: bool = False
    """The caller was told that something failed; once a turn is enough."""
    choice: Choice | None = None
    """What the caller chose from the menu, which is done once the answer was heard."""
    played_samples: int = 0
    speech_end_s: float | None = None
    end_of_turn_s: float | None = None
    transcript_s: float | None = None
    first_audio_s: float | None = None
    first_packet_s: float | None = None
    decode_s: float | None = None
    last_audio_s: float | None = None
    last_packet_s: float | None = None
    audio_in_s: float = 0.0
    characters: int = 0
    vad_busy_s: float = 0.0
    turn_busy_s: float = 0.0
    stt_busy_s: float = 0.0
    answering: Answering | None = None
    """What the model makes of it; None where nothing was asked of the model."""
    voices: list[ClauseVoice] = field(default_factory=list)
    """The audio of its clauses."""

    @property
    def tts_busy_s(self) -> float:
        """Seconds of the synthesiser's time so far."""
        return sum(voice.busy_s for voice in self.voices)

    def _tts_wasted_s(self, unplayed: float) -> float:
        """Of these, what nobody heard: audio never taken, and that share of what was sent."""
        taken_s = sum(voice.taken_s for voice in self.voices)
        return max(0.0, self.tts_busy_s - taken_s) + taken_s * unplayed

    @property
    def heard_answer(self) -> str:
        """The words of the answer that the caller heard."""
        return self.spoken.heard_text(self.played_samples)

    def has_been_heard(self, text: str) -> bool:
        """Whether the clause that is ``text`` was played to its end."""
        clause = next((clause for clause in self.spoken.clauses if clause.text == text), None)
        if clause is None or not clause.complete:
            return False
        return self.played_samples >= clause.start_samples + clause.samples

    def trace(self) -> TurnTrace:
        """The marks, frozen."""
        return TurnTrace(
            turn=self.number,
            speech_end_s=self.speech_end_s,
            end_of_turn_s=self.end_of_turn_s,
            transcript_s=self.transcript_s,
            first_token_s=self.answering.first_token_s if self.answering else None,
            first_clause_s=self.answering.first_clause_s if self.answering else None,
            first_audio_s=self.first_audio_s,
            first_packet_s=self.first_packet_s,
            interrupted=self.interrupted,
            decode_s=self.decode_s,
            asked_s=self.answering.asked_s if self.answering else None,
            answered_s=self.answering.answered_s if self.answering else None,
            last_audio_s=self.last_audio_s,
            last_packet_s=self.last_packet_s,
        )

    def usage(self) -> Usage:
        """The measurements, frozen. Work behind unheard words counts as thrown away."""
        generation = self.answering.usage if self.answering else GenerationUsage()
        generated = generation.generated_tokens
        unheard = unplayed = 0.0
        if self.interrupted:
            meant = len(self.answer)
            unheard = 1 - min(1.0, len(self.heard_answer) / meant) if meant else 1.0
            made = self.spoken.samples
            unplayed = 1 - min(1.0, self.played_samples / made) if made else 1.0
        rate = self.spoken.sample_rate_hz
        return Usage(
            audio_in_s=self.audio_in_s,
            audio_out_s=self.spoken.samples / rate,
            audio_heard_s=min(self.played_samples, self.spoken.samples) / rate,
            prompt_tokens=generation.prompt_tokens,
            cached_tokens=generation.cached_tokens,
            generated_tokens=generated,
            discarded_tokens=round(generated * unheard),
            characters=self.characters,
            vad_busy_s=self.vad_busy_s,
            turn_busy_s=self.turn_busy_s,
            stt_busy_s=self.stt_busy_s,
            llm_busy_s=generation.busy_s,
            tts_busy_s=self.tts_busy_s,
            turns=int(bool(self.number and self.heard_answer)),
            llm_wasted_s=generation.busy_s * unheard,
            tts_wasted_s=self._tts_wasted_s(unplayed),
        )
