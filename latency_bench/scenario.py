"""What a caller does in a call, and what should be true of the agent: a TOML or YAML file."""

import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    ValidationError,
    model_validator,
)

from latency_bench.part import When
from latency_bench.scenario_mistakes import mistakes
from latency_bench.words import spoken_words

SUFFIXES = (".toml", ".yaml", ".yml")
LIMIT_BYTES = 256 * 1024

Role = Literal["question", "order", "incomplete", "exact"]
"""Which recordings may take a step's place with ``--speech``; ``exact``: none, its words matter."""
Sound = Literal["white", "pink", "babble", "music", "cough"]


class ScenarioError(Exception):
    """A scenario cannot be used; the message names the file, the place and the remedy."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _comparable(text: str) -> str:
    if not spoken_words(text):
        raise ValueError(f"has no word that can be listened for: {text!r}")
    return text


def _says_something(text: str) -> str:
    if not text.strip():
        raise ValueError("is empty")
    return text


def _listed(value: object) -> object:
    if value is not None and not isinstance(value, str | list | tuple):
        raise ValueError(f"must be text (in quotes) or a list of it, not {value!r}")
    return (value,) if isinstance(value, str) else value


Seconds = Annotated[float, Field(strict=True, ge=0, le=600)]
Level = Annotated[float, Field(strict=True, ge=-90, le=0)]
Text = Annotated[str, AfterValidator(_says_something)]
Phrase = Annotated[str, AfterValidator(_comparable)]


class Expect(_Strict):
    """What should be true of the turn that ends with a step. Unset: anything goes."""

    answer_within_s: Seconds | None = None
    """Voice to voice, to the first answer."""
    not_before_s: Seconds | None = None
    """Voice to voice: sooner, and the agent took an unfinished sentence for a finished one."""
    words: tuple[Phrase, ...] = ()
    """Each must be among the words recognised in the answer's sound."""
    any_word: tuple[Phrase, ...] = ()
    """At least one of them must."""
    stops_within_ms: Annotated[float, Field(strict=True, gt=0, le=60_000)] | None = None
    """The agent falls silent so soon after the caller's first sound over it."""
    does_not_stop: StrictBool = False
    """The agent goes on speaking."""
    waits: StrictBool = False
    """The agent does not begin to speak before the caller's turn is over."""
    no_answer: StrictBool = False
    """The agent says nothing before the next step, or the end."""
    transferred: StrictBool = False
    """The agent hands the caller over."""

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> "Expect":
        if self.stops_within_ms is not None and self.does_not_stop:
            raise ValueError(
                "stops_within_ms and does_not_stop contradict each other: keep one of them"
            )
        if self.no_answer and (wanted := self.of_an_answer):
            raise ValueError(f"no_answer and {wanted[0]} contradict each other: keep one of them")
        soonest, latest = self.not_before_s, self.answer_within_s
        if soonest is not None and latest is not None and soonest > latest:
            raise ValueError(
                f"no answer can come within {latest:g} s (answer_within_s) and not before "
                f"{soonest:g} s (not_before_s)"
            )
        return self

    @property
    def of_an_answer(self) -> list[str]:
        """The rules that are set and that only an answer can meet."""
        rules = {
            "answer_within_s": self.answer_within_s is not None,
            "not_before_s": self.not_before_s is not None,
            "words": bool(self.words),
            "any_word": bool(self.any_word),
        }
        return [name for name, is_set in rules.items() if is_set]


class ExpectCall(_Strict):
    """What should be true of the call as a whole."""

    greeting_within_s: Seconds | None = None
    answered_within_s: Seconds | None = None
    dead_air_under_s: Seconds | None = None
    hangs_up: StrictBool = False
    """The agent ends the call."""


class Step(_Strict):
    """One thing that the caller does: exactly one of ``say``, ``wav``, ``sound``, ``keys`` and
    ``silence_s``; ``keys`` may have ``say`` beside it, for doors without keys."""

    say: Annotated[
        tuple[Text, ...] | None, BeforeValidator(_listed), Field(min_length=1, max_length=50)
    ] = None
    """Words; several pieces of them with ``pause_s`` between."""
    wav: Path | None = None
    """A recording, beside the scenario's file unless absolute."""
    words: Text | None = None
    """What the recording says."""
    sound: Sound | None = None
    keys: Annotated[str, Field(pattern=r"^[0-9A-D*#]{1,32}$")] | None = None
    silence_s: Seconds | None = None
    pause_s: Seconds = 0.8
    seconds: Seconds = 3.0
    """How long a sound lasts."""
    level_dbfs: Level = -30.0
    """Of a sound."""
    when: When = "after"
    at_s: Seconds = 0.0
    """With ``over``: after the agent's voice began; with ``continues``: after the step before."""
    answer: StrictBool = True
    """Whether an answer is owed; never to sounds and silence."""
    wait_s: Seconds = 10.0
    role: Role = "question"
    repeat: Annotated[int, Field(strict=True, ge=1, le=200)] = 1
    expect: Expect = Expect()

    @model_validator(mode="after")
    def _one_thing(self) -> "Step":
        given = [
            name
            for name in ("say", "wav", "sound", "keys", "silence_s")
            if getattr(self, name) is not None
        ]
        if given not in (["say"], ["wav"], ["sound"], ["keys"], ["silence_s"], ["say", "keys"]):
            raise ValueError(
                "a step does one thing: say, wav, sound, keys or silence_s "
                f"({', '.join(given) or 'nothing'} given)"
            )
        return self

    @model_validator(mode="after")
    def _expects_what_can_be(self) -> "Step":
        if not self.owes_answer and (wanted := self.expect.of_an_answer):
            why = next(
                (name for name in ("sound", "silence_s") if getattr(self, name) is not None),
                "answer = false",
            )
            raise ValueError(
                f"no answer is owed to this step ({why}), so it cannot expect {wanted[0]}"
            )
        if self.when != "over":
            stop = "stops_within_ms" if self.expect.stops_within_ms is not None else ""
            stop = "does_not_stop" if self.expect.does_not_stop else stop
            if stop:
                raise ValueError(
                    f'{stop} needs a step said over the agent: when = "over", not {self.when!r}'
                )
        return self

    @property
    def owes_answer(self) -> bool:
        """Whether the agent has to answer."""
        return self.answer and self.sound is None and self.silence_s is None


class Background(_Strict):
    """Sound under the whole call."""

    sound: Sound
    level_dbfs: Level = -45.0


class Scenario(_Strict):
    """A call. ``box``: settings of a box that the bench starts (``self``), as in offhook.toml."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
    about: Annotated[str, Field(min_length=1, max_length=300)]
    steps: Annotated[tuple[Step, ...], Field(min_length=1, max_length=500)]
    background: Background | None = None
    greeting_limit_s: Seconds = 6.0
    linger_s: Seconds = 0.0
    limit_s: Annotated[float, Field(strict=True, gt=0, le=7200)] = 300.0
    expect: ExpectCall = ExpectCall()
    box: Mapping[str, Any] = {}
    needs_person: StrictBool = False
    """``self`` starts a telephone of its own, whose address stands for ``{person}`` in ``box``."""


_MODELS: Mapping[tuple[str, ...], type[BaseModel]] = {
    (): Scenario,
    ("background",): Background,
    ("expect",): ExpectCall,
    ("steps",): Step,
    ("steps", "expect"): Expect,
}
"""By place in the file, without the steps' numbers."""


def shipped() -> dict[str, Path]:
    """The scenarios that come with the bench, by name."""
    folder = Path(str(resources.files("latency_bench"))) / "scenarios"
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def load_scenario(name: str) -> tuple[Scenario, Path]:
    """A shipped scenario by name, or a file by path; and the file. Raises ScenarioError."""
    known = shipped()
    if name in known:
        return read_scenario(known[name]), known[name]
    path = Path(name)
    if path.suffix not in SUFFIXES:
        raise ScenarioError(
            f"no scenario {name!r}: use {', '.join(known)}, or a file ending in "
            f"{', '.join(SUFFIXES)}"
        )
    return read_scenario(path), path


def read_scenario(path: Path) -> Scenario:
    """Reads one file. Raises ScenarioError."""
    try:
        if path.stat().st_size > LIMIT_BYTES:
            raise ScenarioError(f"{path}: over {LIMIT_BYTES // 1024} KiB; shorten it")
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ScenarioError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError(f"{path}: cannot be read: {error}") from error
    try:
        data = tomllib.loads(text) if path.suffix == ".toml" else yaml.safe_load(text)
    except (tomllib.TOMLDecodeError, yaml.YAMLError) as error:
        raise ScenarioError(f"{path}: {error}") from error
    if not isinstance(data, dict):
        raise ScenarioError(f"{path}: must hold name, about and steps")
    try:
        return Scenario.model_validate({"name": path.stem, **data})
    except ValidationError as error:
        lines = mistakes(error.errors(), _MODELS)
        raise ScenarioError("\n".join(f"{path}: {line}" for line in lines)) from error
