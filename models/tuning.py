"""Which weight format this machine reads a language model in: what was chosen, and why. Pure
but for one small file.

`offhook models tune` measures; the choice lies in ``llm-tuning.json`` in Offhook's home, by
the model's checksum, and counts only on the machine that it names.
"""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from models.errors import ModelError
from models.lock import ModelLock, home

FILE = "llm-tuning.json"
LOSS_LIMIT = 0.15
"""Mean negative log-likelihood that a faster format may cost, in nats a token."""
ALIKE = 1.1
"""So much slower is not slower: another run would have them the other way round."""
TURN_PROMPT_TOKENS = 16
"""What a caller's turn adds to a prompt, usually."""
TURN_ANSWER_TOKENS = 12
"""Up to the end of an answer's first clause, usually."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One weight format on this machine."""

    format: str
    """``shipped``, or a name of ``models.llm.requantise.FORMATS``."""
    prompt_tokens_per_s: float
    answer_tokens_per_s: float
    nll: float
    """Mean over a conversation, in nats a token."""
    size_mb: float

    @property
    def turn_s(self) -> float:
        """Until the first clause of an answer to an ordinary turn."""
        prompt_s = TURN_PROMPT_TOKENS / self.prompt_tokens_per_s
        return prompt_s + TURN_ANSWER_TOKENS / self.answer_tokens_per_s


@dataclass(frozen=True, slots=True)
class Tuning:
    """What was chosen for one model."""

    machine: str
    format: str
    why: str
    measured: tuple[Measured, ...]


def choose(measured: Sequence[Measured], machine: str, limit: float = LOSS_LIMIT) -> Tuning:
    """The format that is soonest at the first clause, of those that lose at most ``limit``;
    of several as good as equally soon, the one that loses least.

    ``measured`` begins with the shipped format.
    """
    shipped = measured[0]
    good = [one for one in measured if one.nll - shipped.nll <= limit]
    soonest_s = min(one.turn_s for one in good)
    alike = [one for one in good if one.turn_s <= soonest_s * ALIKE]
    best = min(alike, key=lambda one: one.nll)
    if best is shipped:
        why = "no format that keeps the quality is faster here"
    else:
        why = (
            f"reads prompts {best.prompt_tokens_per_s / shipped.prompt_tokens_per_s:.1f} times "
            f"and answers {best.answer_tokens_per_s / shipped.answer_tokens_per_s:.1f} times as "
            f"fast as the shipped format, for {best.nll - shipped.nll:+.2f} of mean NLL"
        )
    refused = [one for one in measured if one not in good and one.turn_s < best.turn_s]
    if refused:
        worse = ", ".join(f"{one.format} {one.nll - shipped.nll:+.2f}" for one in refused)
        why += f"; faster but more than {limit:g} worse: {worse}"
    return Tuning(machine, best.format, why, tuple(measured))


def machine_name() -> str:
    """The processor and its cores: what a measurement holds for."""
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    told = dict(line.split(":", 1) for line in lines if ":" in line)
    named = {key.strip(): value.strip() for key, value in told.items()}
    return f"{named.get('model name', model)}, {os.cpu_count() or 1} cores, {_vectors(named)}"


def _vectors(named: dict[str, str]) -> str:
    """The widest instructions: the same processor's name may stand for machines without."""
    flags = named.get("flags", named.get("Features", "")).split()
    known = ("avx512_vnni", "avx512f", "avx_vnni", "avx2", "i8mm", "asimddp")
    return next((flag for flag in known if flag in flags), platform.machine())


def save(model: Path, tuning: Tuning) -> Path:
    """Keeps the choice for ``model``; the file is replaced as a whole. Returns where it is.

    Raises OSError where it cannot be written.
    """
    path = home() / FILE
    known = _read(path)
    known[ModelLock().sha256(model)] = asdict(tuning)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")
    part.replace(path)
    return path


def tuned(model: Path) -> Tuning | None:
    """What was chosen for ``model`` on this machine, if anything was."""
    path = home() / FILE
    if not path.is_file():
        return None
    entry = _read(path).get(ModelLock().sha256(model))
    if not isinstance(entry, dict) or entry.get("machine") != machine_name():
        return None
    try:
        measured = tuple(Measured(**one) for one in entry["measured"])
        return Tuning(entry["machine"], entry["format"], entry["why"], measured)
    except (KeyError, TypeError) as error:
        raise ModelError(f"{path}: not what `offhook models tune` writes; delete it") from error


def sentence(model: Path) -> str:
    """For `offhook doctor`: the weight format in use for ``model``, and why."""
    found = tuned(model)
    if found is None:
        return (
            "the weight format was not measured on this machine; `offhook models tune` takes a "
            "minute or two and may halve the time to read prompts"
        )
    return f"{found.format} weights: {found.why}"


def _read(path: Path) -> dict[str, object]:
    if not path.is_file():
        return {}
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{path}: not valid JSON ({error}); delete it") from error
    if not isinstance(known, dict):
        raise ModelError(f"{path}: not what `offhook models tune` writes; delete it")
    return known
