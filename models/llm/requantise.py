"""Weights in the format that this machine's processor reads fastest, made once and kept.

llama.cpp has repacked kernels for Q4_0: on processors with AVX2 or AVX-512 it reads prompts
2-4 times faster in that format than in its neighbours of four and five bits. The answers
get slightly worse (each rounding loses a little): from Q4_1, of nearly the same size, by little
enough to do it unasked; from better formats only where it is asked for.
"""

import ctypes
import hashlib
import logging
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import llama_cpp as native

from models.errors import ModelError
from models.llm.gguf import check_gguf, file_type
from models.llm.llama_native import route_log

log = logging.getLogger(__name__)

WORTHWHILE = frozenset({3, 8, 9, 14, 15, 16, 17})
"""``general.file_type`` of Q4_1, Q5_0, Q5_1, Q4_K_S, Q4_K_M, Q5_K_S and Q5_K_M: already of
few bits, so that little is lost, and slower to read than Q4_0."""
NEAREST = frozenset({3})
"""Q4_1 alone: as many bits for a weight, and one number less for a block of them."""
FORMATS: Mapping[str, int] = {
    "Q4_0": native.LLAMA_FTYPE_MOSTLY_Q4_0,
    "IQ4_NL": native.LLAMA_FTYPE_MOSTLY_IQ4_NL,
    "Q8_0": native.LLAMA_FTYPE_MOSTLY_Q8_0,
}
"""Formats that have, or may have, fast kernels, by name."""
SPARE_BYTES = 256 * 1024 * 1024
"""Disk that stays free."""


def cache_folder() -> Path:
    """Where made files are kept: ``$OFFHOOK_HOME``, else the user's cache."""
    if home := os.environ.get("OFFHOOK_HOME"):
        return Path(home) / "requantised"
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "offhook" / "requantised"


def requantised(
    path: Path,
    folder: Path | None = None,
    threads: int = 2,
    formats: frozenset[int] | None = WORTHWHILE,
    target_format: str = "Q4_0",
) -> Path:
    """``path``'s weights in ``target_format`` (a name of ``FORMATS``), made on the first call
    and kept by the file's checksum.

    Returns ``path`` itself where its format is not one of ``formats`` (None: whatever it
    is) or is the target already, or the disk has no room, or the folder cannot be written:
    the reason is logged. Takes seconds for each 100 MB the first time. Raises ModelNotFound
    or ModelCorrupt for a damaged file.
    """
    check_gguf(path)
    ftype, shipped = FORMATS[target_format], file_type(path)
    if shipped == ftype or (formats is not None and shipped not in formats):
        return path
    target = (folder or cache_folder()) / f"{_sha256(path)}.{target_format}.gguf"
    if target.is_file():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(target.parent).free < path.stat().st_size + SPARE_BYTES:
            log.warning("%s stays as it is: no room for a faster copy in %s", path, target.parent)
            return path
        _make(path, target, threads, ftype)
    except (OSError, ModelError) as error:
        log.warning("%s stays as it is: no faster copy could be made (%s)", path, error)
        return path
    return target


def _make(path: Path, target: Path, threads: int, ftype: int) -> None:
    """Writes beside ``target`` and renames, so that nobody ever sees half of it."""
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".making-") as making:
        part = Path(making) / target.name
        params = native.llama_model_quantize_default_params()
        params.ftype = ftype
        params.allow_requantize = True
        params.nthread = threads
        route_log()
        status = native.llama_model_quantize(
            str(path).encode(), str(part).encode(), ctypes.byref(params)
        )
        if status != 0:
            raise ModelError(f"llama.cpp could not convert {path} (code {status})")
        check_gguf(part)
        os.replace(part, target)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
