"""What every language model offers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True)
class Message:
    """One entry of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen, and when to stop."""

    max_tokens: int = 96
    temperature: float = 0.0
    """0 takes the likeliest token."""
    top_p: float = 0.95
    repeat_penalty: float = 1.1
    seed: int = 0


@dataclass(frozen=True, slots=True)
class GenerationUsage:
    """What one answer took."""

    prompt_tokens: int = 0
    """Tokens of the whole prompt, cached ones included."""
    cached_tokens: int = 0
    """Of these, how many were already in the cache."""
    generated_tokens: int = 0
    busy_s: float = 0.0
    """Seconds of the engine's time, a shared step split by its tokens."""


@dataclass(frozen=True, slots=True)
class GenerationEnd:
    """How an answer ended."""

    usage: GenerationUsage
    reason: Literal["stop", "length", "cancelled", "error"]
    error: Exception | None = None


OnText = Callable[[str], None]
OnEnd = Callable[[GenerationEnd], None]


class Generation(Protocol):
    """An answer under way."""

    def cancel(self) -> None:
        """Stops it soon; ``on_end`` still comes, once, with reason ``cancelled``."""
        ...

    def confirm(self) -> None:
        """The guess came true: from now on it is as urgent as any answer. Else nothing."""
        ...


class Conversation(Protocol):
    """One call's place in the model; keeps what it has evaluated for the next turn."""

    @property
    def busy_s(self) -> float:
        """Seconds of the engine's time so far, of what runs now and of what was read ahead too.

        0.0 where only the end of an answer tells. Holds after ``close``.
        """
        return 0.0

    def generate(
        self,
        messages: Sequence[Message],
        sampling: Sampling,
        on_text: OnText,
        on_end: OnEnd,
        *,
        guess: bool = False,
    ) -> Generation:
        """Begins an answer to ``messages`` and returns at once.

        ``on_text`` gets each new piece of text and ``on_end`` comes exactly once, last;
        both are called on the engine's own thread and must not block.
        At most one generation a conversation runs at a time.

        ``guess``: the user may not be done yet. Such an answer yields to all others, and may
        wait for ``confirm`` once its beginning is made; engines that cannot rank may ignore
        it.
        """
        ...

    def prepare(self, messages: Sequence[Message]) -> None:
        """Evaluates what is known of the coming prompt in the background; returns at once.

        ``messages`` may end with words that the user is still adding to, or with the
        system prompt alone. Engines that cannot, do nothing.
        """
        ...

    def close(self) -> None:
        """Cancels what runs and frees the place."""
        ...


class LanguageModel(Protocol):
    """The model, loaded once a process; each call opens a conversation of its own."""

    name: str
    device: str

    def open(self) -> Conversation:
        """A new conversation. Raises EngineError where no place is free."""
        ...

    def load(self, now_s: float) -> float:
        """How busy it was in the last seconds, 0 to 1; ``now_s`` is of ``time.monotonic``.

        0.0 where the work is another machine's.
        """
        ...

    def close(self) -> None:
        """Cancels all and frees the model."""
        ...
