"""What each fact about a machine means for the box: fine, or what to do. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from agent.capacity import Places
from agent.config import is_loopback
from agent.threads import Threads

MEGABYTE = 1_000_000
PROCESS_MB = 450
"""What the box takes before its models."""
FREE_DISK_MB = 500
VECTOR_FEATURES = ("AVX512", "AVX2", "AVX", "NEON")
"""Best first."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's."""

    subject: str
    state: Literal["fine", "note", "broken"]
    """``note``: it works, and could be better."""
    text: str
    """What was found; for what is not fine also what to do."""


def processor(cores: int, features: Sequence[str], machine: str) -> Finding:
    """``features``: those of VECTOR_FEATURES that the processor has."""
    has = "/".join(features) or "no known vector instructions"
    text = f"{cores} cores, {machine}, {has}"
    if not features:
        return Finding("processor", "note", f"{text}; expect slow answers")
    if cores < 2:
        return Finding("processor", "note", f"{text}; 2 cores or more keep answers quick")
    return Finding("processor", "fine", text)


def llama_build(system_info: str, features: Sequence[str]) -> Finding:
    """Whether llama.cpp was compiled for what this processor can do."""
    used = enabled(system_info)
    best = next((f for f in VECTOR_FEATURES if f in features), None)
    text = f"compiled with {', '.join(used) or 'no vector instructions'}"
    if best and not any(name.startswith(best) for name in used):
        return Finding(
            "llama.cpp",
            "note",
            f"{text}, but this processor has {best}: rebuild it here with GGML_NATIVE=ON for "
            "quicker answers",
        )
    return Finding("llama.cpp", "fine", text)


def enabled(system_info: str) -> list[str]:
    """The features that llama.cpp's own line says are on."""
    pairs = (part.split(":")[-1].split("=") for part in system_info.split("|"))
    return [pair[0].strip() for pair in pairs if len(pair) == 2 and pair[1].strip() == "1"]


def memory(available_mb: float, needed_mb: float) -> Finding:
    """``needed_mb``: the models and the process."""
    text = f"{available_mb:.0f} MB available, about {needed_mb:.0f} MB needed"
    if available_mb < needed_mb:
        return Finding("memory", "broken", f"{text}: close other programs, or use smaller models")
    return Finding("memory", "fine", text)


def disk(free_mb: float, folder: str) -> Finding:
    """Room for call records and fetched models."""
    text = f"{free_mb:.0f} MB free in {folder}"
    if free_mb < FREE_DISK_MB:
        return Finding("disk", "broken", f"{text}: free at least {FREE_DISK_MB} MB")
    return Finding("disk", "fine", text)


def port(host: str, number: int, obstacle: str | None, holder: str | None) -> Finding:
    """``obstacle``: why the box cannot listen there; ``holder``: who does."""
    if obstacle is None:
        return Finding("port", "fine", f"{host}:{number} is free")
    held = f", held by {holder}" if holder else ""
    return Finding(
        "port",
        "broken",
        f"{host}:{number}: {obstacle}{held}; stop that program, or set another `port` in [server] "
        "(OFFHOOK_SERVER__PORT=8080)",
    )


def telephone(address: str, obstacle: str | None) -> Finding:
    """``obstacle``: why the SIP door cannot open; else ``address`` is what to dial."""
    if obstacle is not None:
        return Finding("telephone", "broken", obstacle)
    return Finding("telephone", "fine", f"dial {address} from any softphone")


def microphone(host: str) -> Finding:
    """Browsers give a page the microphone on localhost or over https only."""
    if is_loopback(host):
        return Finding(
            "microphone",
            "fine",
            "the page is on localhost, where browsers offer the microphone; allow it when asked",
        )
    return Finding(
        "microphone",
        "note",
        f"the page is on {host}, and browsers offer the microphone on localhost or https only: "
        "put an https proxy in front, or open it through `ssh -L 7860:localhost:7860`",
    )


def device(stage: str, chosen: str | None, reason: str) -> Finding:
    """``chosen``: where the stage would run; None: nowhere, and ``reason`` says what to do."""
    if chosen is None:
        return Finding(f"device of {stage}", "broken", reason)
    return Finding(f"device of {stage}", "fine", f"{chosen} ({reason})")


def model(kind: str, reference: str, problem: str | None, size_mb: float | None) -> Finding:
    """``problem``: what is wrong and what to do; ``size_mb``: None where it is not known."""
    subject = f"model for {kind}"
    if problem is not None:
        return Finding(subject, "broken", problem)
    size = "" if size_mb is None else f", {size_mb:.0f} MB, checksums match"
    return Finding(subject, "fine", f"{reference}{size}")


def settings(path: str | None, problem: str | None) -> Finding:
    """The settings file; without one the defaults hold."""
    if problem is not None:
        return Finding("settings", "broken", problem.replace("\n", "; "))
    return Finding("settings", "fine", path or "defaults; no offhook.toml here")


def records(path: str, problem: str | None, waiting: int) -> Finding:
    """``waiting``: files of records that the database has not taken yet."""
    if problem is not None:
        return Finding("call records", "broken", problem)
    if waiting:
        return Finding(
            "call records", "note", f"{path}; {waiting} files wait to be taken in: start the box"
        )
    return Finding("call records", "fine", path)


def threads(found: Threads) -> Finding:
    """How the engines share the cores."""
    return Finding("threads", "fine", found.why)


def places(found: Places) -> Finding:
    """How many calls at once the box takes, and where the number is from."""
    text = f"{found.calls}; {found.why}"
    if found.warning is not None:
        return Finding("calls at once", "note", f"{found.calls}; {found.warning}")
    return Finding("calls at once", "note" if found.source == "default" else "fine", text)


def exit_status(findings: Sequence[Finding]) -> int:
    """0 if nothing is broken."""
    return int(any(finding.state == "broken" for finding in findings))


def to_json(findings: Sequence[Finding]) -> list[Mapping[str, str]]:
    """One object a finding."""
    return [{"subject": f.subject, "state": f.state, "text": f.text} for f in findings]
