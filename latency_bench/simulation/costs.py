"""What a turn costs each engine: recorded on a machine, or assumed of one."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from latency_bench.reports.write import write_json

SCHEMA = "offhook-costs/1"
SHIPPED = "recorded_costs.json"


class CostsError(Exception):
    """A file of costs cannot be used; the message names it, what is wrong, and the remedy."""


@dataclass(frozen=True, slots=True)
class ChunkCost:
    """A piece of a clause's audio, synthesised in one job."""

    busy_s: float
    audio_s: float


@dataclass(frozen=True, slots=True)
class ClauseCost:
    """A clause of an answer."""

    tokens: int
    chunks: tuple[ChunkCost, ...]


@dataclass(frozen=True, slots=True)
class TurnCost:
    """One question and its answer, as they were on the machine."""

    speech_s: float
    pauses: tuple[tuple[float, float], ...]
    """(from, length) of the caller's own pauses, in seconds of the question."""
    wait_s: float
    """Silence after which the turn is judged over, once it may be."""
    stt_s: float
    """A decode of the whole."""
    turn_s: float
    """The turn model's word."""
    prompt_tokens: int
    """What the question adds to the prompt."""
    clauses: tuple[ClauseCost, ...]


@dataclass(frozen=True, slots=True)
class StepCost:
    """A step of the language model: ``sequences`` tokens of as many answers take ``busy_s``."""

    sequences: int
    busy_s: float


@dataclass(frozen=True, slots=True)
class Costs:
    """A box and its models. Seconds are of one core, or of the GPU, that is alone."""

    name: str
    about: str
    """Where the figures are from, in words."""
    machine: Mapping[str, Any]
    turns: tuple[TurnCost, ...]
    steps: tuple[StepCost, ...]
    """By rising ``sequences``."""
    prompt_token_s: float
    """One more prompt token in a step."""
    head_tokens: int
    """Of the prompt that all calls share."""
    stt_batch: int
    """Utterances in one decode, at most."""
    stt_extra: float
    """What one more costs in it, as a share of one alone."""
    cores: int
    """Of the processor."""
    beside: float
    """Speed of each of several busy cores, as a share of one that is alone."""
    gpu: bool
    """Whether the engines share a GPU, and only the rest the processor."""
    call_cores: float
    """Cores that a call under way takes beside the engines: codec, transport, voice detection."""
    loop_cores: float
    """Of these, on the event loop's thread."""
    processes: int
    """Among which the calls are shared out, each with an event loop of its own."""
    hop_s: float
    """From an engine to a call and on, on an idle event loop."""
    wire_s: tuple[float, ...]
    """Quantiles, evenly spaced, of what the caller's clock says beyond the box's own."""
    door: str = ""
    """Where the figures of the door and the wire are from, which no engine tells."""
    greeting_s: float = 2.8
    context_tokens: int = 2048
    cache_tokens: int = 8192
    schema: str = SCHEMA

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise ValueError(f"schema: {self.schema!r}, and this is {SCHEMA!r}")
        if not (self.turns and self.steps and self.wire_s):
            raise ValueError("turns, steps and wire_s must not be empty")
        if not all(turn.clauses for turn in self.turns):
            raise ValueError("turns: each needs a clause at least")
        if [step.sequences for step in self.steps] != sorted({s.sequences for s in self.steps}):
            raise ValueError("steps: sequences must rise")

    def step_s(self, sequences: int, prompt_tokens: int) -> float:
        """A step with so many answers' tokens and prompt tokens; linear between what is known."""
        return self._tokens_s(sequences) + prompt_tokens * self.prompt_token_s

    def _tokens_s(self, sequences: int) -> float:
        steps = self.steps
        if sequences <= steps[0].sequences or len(steps) == 1:
            # A step with prompts alone costs its start too, of which little is known.
            return steps[0].busy_s if sequences else steps[0].busy_s / 2
        above = next((n for n, step in enumerate(steps) if step.sequences >= sequences), -1)
        low, high = (steps[above - 1], steps[above]) if above > 0 else (steps[-2], steps[-1])
        slope_s = (high.busy_s - low.busy_s) / (high.sequences - low.sequences)
        return low.busy_s + slope_s * (sequences - low.sequences)


_COSTS = TypeAdapter(Costs)


def read_costs(path: Path) -> Costs:
    """Raises CostsError, and OSError where it cannot be read."""
    return _parsed(path.read_bytes(), str(path))


def shipped_costs() -> Costs:
    """Those in the package, recorded on two cores."""
    file = files("latency_bench.simulation").joinpath(SHIPPED)
    return _parsed(file.read_bytes(), SHIPPED)


def write_costs(path: Path, costs: Costs) -> None:
    """Raises OSError."""
    write_json(path, asdict(costs))


def _parsed(content: bytes, name: str) -> Costs:
    try:
        return _COSTS.validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise CostsError(
            f"{name}: {place}: {first['msg']}; make one with `offhook bench simulate --record`"
        ) from None
