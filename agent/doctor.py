"""`offhook doctor`: looks at this machine and says, a line each, fine or what to do."""

import argparse
import json
import os
import platform
import shutil
import socket
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

import psutil

from agent import findings
from agent.capacity import places_of
from agent.config import Config, ConfigError, load_config, settings_file
from agent.findings import MEGABYTE, Finding
from agent.records.history import calls
from agent.records.schema import StoreError
from agent.records.source import Source, records_source
from agent.records.spill import Spill
from models.errors import ModelError
from telephony.sip_error import SipError, refuse_other_systems

Kind = Literal["stt", "llm", "tts", "vad", "turn"]
KINDS: tuple[Kind, ...] = ("stt", "llm", "tts", "vad", "turn")
MARKS = {"fine": "fine  ", "note": "note  ", "broken": "BROKEN"}


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command to `offhook`."""
    parser = subparsers.add_parser(
        "doctor",
        help="checks this machine, one line each: fine, or what to do",
        description="Checks processor, memory, disk, port, models, devices, settings and call "
        "records. Exit status 0 if nothing is broken, else 1.",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Prints the findings as they come; 1 if something is broken."""
    found: list[Finding] = []
    for finding in examine(getattr(args, "config", None), os.environ):
        found.append(finding)
        if not args.json:
            print(f"{MARKS[finding.state]}  {finding.subject}: {finding.text}", flush=True)
    if args.json:
        print(json.dumps(findings.to_json(found), indent=2))
    return findings.exit_status(found)


def examine(path: Path | None, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Every check in turn. Settings that cannot be read are reported, then the defaults hold."""
    problem = None
    try:
        config = load_config(path, environ)
    except ConfigError as error:
        problem, config = str(error), Config()
    file = settings_file(path, environ)
    yield findings.settings(str(file) if file else None, problem)
    features = processor_features()
    yield findings.processor(os.cpu_count() or 1, features, platform.machine())
    yield findings.llama_build(llama_system_info(), features)
    available_mb = psutil.virtual_memory().available / MEGABYTE
    yield findings.memory(available_mb, findings.PROCESS_MB + models_mb(config))
    folder = existing_folder(config.records.path.expanduser())
    yield findings.disk(shutil.disk_usage(folder).free / MEGABYTE, str(folder))
    yield look_at_port(config.server.host, config.server.port)
    if config.sip.enabled:
        yield look_at_telephone(config, environ)
    yield findings.microphone(config.server.host)
    for kind in KINDS:
        if kind == "llm" and config.llm.endpoint:
            text = f"{config.llm.model} at {config.llm.endpoint}; not asked here"
            yield Finding("model for llm", "fine", text)
        else:
            yield look_at_model(kind, getattr(config.models, kind))
    yield from (look_at_device(stage, config) for stage in ("stt", "llm", "tts"))
    yield findings.threads(config.models.threads)
    if not config.llm.endpoint:
        yield look_at_weights(config.models.llm)
    yield look_at_records(records_source(config.records, environ))
    yield findings.places(places_of(config))


def processor_features() -> list[str]:
    """Which of findings.VECTOR_FEATURES this processor has."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        flags = ""
    known = {"AVX512": "avx512f", "AVX2": "avx2", "AVX": "avx", "NEON": "asimd"}
    has = {name for name, flag in known.items() if f" {flag} " in f"{flags} ".replace("\n", " ")}
    if platform.machine() in ("arm64", "aarch64"):
        has.add("NEON")
    return [name for name in findings.VECTOR_FEATURES if name in has]


def llama_system_info() -> str:
    """llama.cpp's own line about itself."""
    import llama_cpp

    line: bytes = llama_cpp.llama_print_system_info()
    return line.decode()


def models_mb(config: Config) -> float:
    """Memory that the catalogue expects of the chosen models; own files count by their size."""
    from models.catalogue import shipped

    catalogue, total = shipped(), 0.0
    for kind in KINDS:
        reference = getattr(config.models, kind)
        if reference in catalogue:
            total += catalogue[reference].memory_mb
        elif Path(reference).is_file():
            total += Path(reference).stat().st_size / MEGABYTE
    return total


def existing_folder(path: Path) -> Path:
    """The nearest folder above ``path`` that exists."""
    return next(folder for folder in path.absolute().parents if folder.is_dir())


def look_at_port(host: str, number: int) -> Finding:
    """Tries to listen there, and lets go at once."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, number, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            # Another listener with SO_REUSEADDR shows here, not at bind.
            listener.listen(1)
    except OSError as error:
        return findings.port(host, number, error.strerror or str(error), holder(number))
    return findings.port(host, number, None, None)


def look_at_telephone(config: Config, environ: Mapping[str, str]) -> Finding:
    """Looks whether the SIP door could open, and what one would dial."""
    try:
        refuse_other_systems(sys.platform)
        from agent.phone import Phone

        phone = Phone(config, environ)
        phone.stack.check()
    except SipError as error:
        return findings.telephone("", str(error))
    return findings.telephone(phone.address, None)


def holder(number: int) -> str | None:
    """Who listens on a TCP port; None where the system does not tell."""
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == number:
                if connection.pid is None:
                    return None
                return f"{psutil.Process(connection.pid).name()} (process {connection.pid})"
    except psutil.Error:
        return None
    return None


def look_at_model(kind: Kind, reference: str) -> Finding:
    """Is every file there, of its size, with its checksum?"""
    from models.catalogue import shipped
    from models.loading import locate

    try:
        locate(reference, kind)
    except (ModelError, OSError) as error:
        return findings.model(kind, reference, str(error), None)
    entry = shipped().get(reference)
    size_bytes = entry.size_bytes if entry else None
    return findings.model(
        kind, reference, None, None if size_bytes is None else size_bytes / MEGABYTE
    )


def look_at_device(stage: Literal["stt", "llm", "tts"], config: Config) -> Finding:
    """Where the stage would run, and why."""
    from models.device import choose_device

    try:
        choice = choose_device(stage, config.models.device_of(stage))
    except ModelError as error:
        return findings.device(stage, None, str(error))
    return findings.device(stage, choice.device, choice.reason)


def look_at_weights(reference: str) -> Finding:
    """Which weight format the language model is read in, and why."""
    from models.loading import locate
    from models.tuning import sentence

    try:
        return Finding("weights", "fine", sentence(locate(reference, "llm")))
    except (ModelError, OSError) as error:
        return Finding("weights", "broken", str(error))


def look_at_records(source: Source) -> Finding:
    """Can records be written, and are those that are there readable?"""
    path = source.path
    target = path if path.exists() else existing_folder(path)
    problem = None
    if not os.access(target, os.W_OK):
        problem = f"{target} cannot be written: allow it, or set `path` in [records]"
    else:
        try:
            next(calls(source, limit=1), None)
        except StoreError as error:
            remedy = "start the server" if source.url else "move it away"
            problem = f"{error}; {remedy}, or set `path` or `url` in [records]"
    return findings.records(str(source), problem, len(Spill(path).files()))
