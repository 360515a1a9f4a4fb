"""What a caller does in a call, and what should be true of the agent: a TOML or YAML file."""

import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from latency_bench.part import When

SUFFIXES = (".toml", ".yaml", ".yml")
LIMIT_BYTES = 256 * 1024

Role = Literal["question", "order", "incomplete", "exact"]
"""Which recordings may take a step's place with ``--speech``; ``exact``: none, its words matter."""
Sound = Literal["white", "pink", "babble", "music", "cough"]


class ScenarioError(Exception):
    """A scenario cannot be used; the message names the file, the place and the remedy."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


Seconds = Annotated[float, Field(ge=0, le=600)]


class Expect(_Strict):
    """What should be true of the turn that ends with a step. Unset: anything goes."""

    answer_within_s: Seconds | None = None
    """Voice to voice, to the first answer."""
    not_before_s: Seconds | None = None
    """Voice to voice: sooner, and the agent took an unfinished sentence for a finished one."""
    words: tuple[str, ...] = ()
    """Each must be among the words recognised in the answer's sound."""
    any_word: tuple[str, ...] = ()
    """At least one of them must."""
    stops_within_ms: Annotated[float, Field(gt=0)] | None = None
    """The agent falls silent so soon after the caller's first sound over it."""
    does_not_stop: bool = False
    """The agent goes on speaking."""
    waits: bool = False
    """The agent does not begin to speak before the caller's turn is over."""
    no_answer: bool = False
    """The agent says nothing before the next step, or the end."""
    transferred: bool = False
    """The agent hands the caller over."""


class ExpectCall(_Strict):
    """What should be true of the call as a whole."""

    greeting_within_s: Seconds | None = None
    answered_within_s: Seconds | None = None
    dead_air_under_s: Seconds | None = None
    hangs_up: bool = False
    """The agent ends the call."""


class Step(_Strict):
    """One thing that the caller does: exactly one of ``say``, ``wav``, ``sound``, ``keys`` and
    ``silence_s``; ``keys`` may have ``say`` beside it, for doors without keys."""

    say: str | tuple[str, ...] | None = None
    """Words; several of them with ``pause_s`` between."""
    wav: Path | None = None
    """A recording, beside the scenario's file unless absolute."""
    words: str | None = None
    """What the recording says."""
    sound: Sound | None = None
    keys: Annotated[str, Field(pattern=r"^[0-9A-D*#]{1,32}$")] | None = None
    silence_s: Seconds | None = None
    pause_s: Seconds = 0.8
    seconds: Seconds = 3.0
    """How long a sound lasts."""
    level_dbfs: Annotated[float, Field(ge=-90, le=0)] = -30.0
    """Of a sound."""
    when: When = "after"
    at_s: Seconds = 0.0
    """With ``over``: after the agent's voice began; with ``continues``: after the step before."""
    answer: bool = True
    """Whether an answer is owed; never to sounds and silence."""
    wait_s: Seconds = 10.0
    role: Role = "question"
    repeat: Annotated[int, Field(ge=1, le=200)] = 1
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

    @property
    def owes_answer(self) -> bool:
        """Whether the agent has to answer."""
        return self.answer and self.sound is None and self.silence_s is None


class Background(_Strict):
    """Sound under the whole call."""

    sound: Sound
    level_dbfs: Annotated[float, Field(ge=-90, le=0)] = -45.0


class Scenario(_Strict):
    """A call. ``box``: settings of a box that the bench starts (``self``), as in offhook.toml."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
    about: Annotated[str, Field(min_length=1, max_length=300)]
    steps: Annotated[tuple[Step, ...], Field(min_length=1, max_length=500)]
    background: Background | None = None
    greeting_limit_s: Seconds = 6.0
    linger_s: Seconds = 0.0
    limit_s: Annotated[float, Field(gt=0, le=7200)] = 300.0
    expect: ExpectCall = ExpectCall()
    box: Mapping[str, Any] = {}
    needs_person: bool = False
    """``self`` starts a telephone of its own, whose address stands for ``{person}`` in ``box``."""


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
        raise ScenarioError(_mistakes(path, error)) from error


def _mistakes(path: Path, error: ValidationError) -> str:
    lines = []
    for mistake in error.errors():
        place = ".".join(
            str(part + 1) if isinstance(part, int) else str(part) for part in mistake["loc"]
        )
        lines.append(f"{path}: {place or 'the file'}: {mistake['msg']}")
    return "\n".join(lines)
