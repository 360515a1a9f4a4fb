"""What was said, and what the caller really heard of it. Pure."""

from dataclasses import dataclass, field

from models.llm.base import Message

CHARACTERS_PER_S = 15.0
"""Speech rate assumed for the part of a clause that is not synthesised yet."""


@dataclass(slots=True)
class SpokenClause:
    """One clause of an answer and where its audio lies in the answer."""

    text: str
    start_samples: int
    """Offset of its first sample from the answer's first sample."""
    samples: int = 0
    """Length so far."""
    complete: bool = False
    """Whether ``samples`` is its whole length."""
    filler: bool = False
    """Said to fill a silence: no part of the answer."""


@dataclass(slots=True)
class SpokenAnswer:
    """The audio of one answer, clause by clause, at one sample rate."""

    sample_rate_hz: int
    clauses: list[SpokenClause] = field(default_factory=list)

    @property
    def samples(self) -> int:
        """Samples synthesised so far."""
        last = self.clauses[-1] if self.clauses else None
        return last.start_samples + last.samples if last else 0

    @property
    def filler_samples(self) -> int:
        """Samples at its beginning that are no part of the answer."""
        return sum(clause.samples for clause in self.clauses if clause.filler)

    def heard_text(self, played_samples: int) -> str:
        """The words that ``played_samples`` of the answer covered, whole words only.

        Within a clause words are placed in proportion to their characters, which for
        Piper's even pace errs by a word at most.
        """
        return " ".join(
            part
            for c in self.clauses
            if not c.filler and (part := self._heard_part(c, played_samples))
        )

    def _heard_part(self, clause: SpokenClause, played_samples: int) -> str:
        played = played_samples - clause.start_samples
        if played <= 0:
            return ""
        length = clause.samples
        if not clause.complete:
            expected = int(len(clause.text) / CHARACTERS_PER_S * self.sample_rate_hz)
            length = max(length, expected)
        if played >= length:
            return clause.text
        reach = len(clause.text) * played / length
        words: list[str] = []
        end = 0
        for word in clause.text.split():
            end += len(word) + (1 if words else 0)
            if end > reach:
                break
            words.append(word)
        return " ".join(words)


class Dialogue:
    """One call's history, as the language model is to see it."""

    def __init__(self, system_prompt: str) -> None:
        self._messages = [Message("system", system_prompt)]

    @property
    def messages(self) -> tuple[Message, ...]:
        """System prompt first, then the turns in order."""
        return tuple(self._messages)

    def caller_said(self, text: str) -> None:
        """Appends the caller's words; joins them to a turn that was never answered."""
        self._messages = list(self.with_caller(text))

    def with_caller(self, text: str) -> tuple[Message, ...]:
        """The history as it will be if the caller's words turn out to be ``text``."""
        *before, last = self._messages
        if last.role == "user":
            return (*before, Message("user", f"{last.content} {text}"))
        return (*before, last, Message("user", text))

    def agent_said(self, heard: str, interrupted: bool) -> None:
        """Appends what the caller heard of an answer; an answer unheard leaves no trace."""
        heard = heard.strip()
        if not heard:
            return
        if interrupted and heard[-1] not in ".!?":
            heard += "..."
        self._messages.append(Message("assistant", heard))
