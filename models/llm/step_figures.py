"""What a language model that batches its callers has done so far. Pure."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(slots=True)
class StepFigures:
    """Totals since the start, and how things stand."""

    weights_bytes: int = 0
    """Of the file that was loaded."""
    places: int = 0
    """Conversations that there is room for."""
    open: int = 0
    """Conversations that calls hold."""
    answering: int = 0
    """Answers under way, guesses among them."""
    steps: int = 0
    """Runs of the whole model."""
    shares: int = 0
    """Parts of steps, one a conversation that took part."""
    tokens: int = 0
    """Evaluated, of prompts and of answers."""
    busy_s: float = 0.0
    """Seconds of steps."""
    cells: int = 0
    """Tokens that the cache has room for."""
    cells_used: int = 0

    @property
    def batch(self) -> float:
        """Conversations in a step, on average; 0 without any."""
        return self.shares / self.steps if self.steps else 0.0

    def stepped(self, shares: int, tokens: int, busy_s: float) -> None:
        """Counts a step."""
        self.steps += 1
        self.shares += shares
        self.tokens += tokens
        self.busy_s += busy_s


@runtime_checkable
class Stepping(Protocol):
    """A language model that works in this process, in steps that its callers share."""

    def figures(self) -> StepFigures:
        """What it has done so far."""
        ...
