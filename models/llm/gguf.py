"""Whether a GGUF file is whole, before native code is trusted with it. Pure but for reading.

llama.cpp maps the file and may abort the process on a damaged one, so that its header is
read here first and every tensor's extent is compared with the file's size.
Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import mmap
import struct
from pathlib import Path

from models.errors import ModelCorrupt, ModelNotFound

MAGIC = b"GGUF"
VERSIONS = (2, 3)
U32, STRING, ARRAY = 4, 8, 9
SCALAR_BYTES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
DEFAULT_ALIGNMENT = 32

BLOCKS = {
    0: (1, 4),  # F32
    1: (1, 2),  # F16
    2: (32, 18),  # Q4_0
    3: (32, 20),  # Q4_1
    6: (32, 22),  # Q5_0
    7: (32, 24),  # Q5_1
    8: (32, 34),  # Q8_0
    10: (256, 84),  # Q2_K
    11: (256, 110),  # Q3_K
    12: (256, 144),  # Q4_K
    13: (256, 176),  # Q5_K
    14: (256, 210),  # Q6_K
    16: (256, 66),  # IQ2_XXS
    17: (256, 74),  # IQ2_XS
    18: (256, 98),  # IQ3_XXS
    19: (256, 50),  # IQ1_S
    20: (32, 18),  # IQ4_NL
    21: (256, 110),  # IQ3_S
    22: (256, 82),  # IQ2_S
    23: (256, 136),  # IQ4_XS
    24: (1, 1),  # I8
    25: (1, 2),  # I16
    26: (1, 4),  # I32
    27: (1, 8),  # I64
    28: (1, 8),  # F64
    29: (256, 56),  # IQ1_M
    30: (1, 2),  # BF16
    34: (256, 54),  # TQ1_0
    35: (256, 66),  # TQ2_0
    39: (32, 17),  # MXFP4
}
"""Tensor type -> (weights a block, bytes a block)."""


class _Damaged(Exception):
    """What is wrong with the file's contents."""


class _Reader:
    """A cursor over the file's bytes that never runs past their end."""

    def __init__(self, data: bytes | mmap.mmap) -> None:
        self._data = data
        self.at = 0

    def skip(self, size: int) -> None:
        if size > len(self._data) - self.at:
            raise _Damaged(f"its header ends in the middle, at byte {len(self._data)}")
        self.at += size

    def take(self, size: int) -> bytes:
        start = self.at
        self.skip(size)
        return self._data[start : self.at]

    def u32(self) -> int:
        return int(struct.unpack("<I", self.take(4))[0])

    def u64(self) -> int:
        return int(struct.unpack("<Q", self.take(8))[0])

    def string(self) -> bytes:
        return self.take(self.u64())

    def skip_value(self, kind: int) -> None:
        if kind == STRING:
            self.skip(self.u64())
        elif kind == ARRAY:
            self._skip_array()
        else:
            self.skip(self._scalar_bytes(kind))

    def _skip_array(self) -> None:
        kind, length = self.u32(), self.u64()
        if kind != STRING:
            self.skip(length * self._scalar_bytes(kind))
            return
        for _ in range(length):
            self.skip(self.u64())

    def _scalar_bytes(self, kind: int) -> int:
        if kind not in SCALAR_BYTES:
            raise _Damaged(f"its metadata holds the unknown type {kind} before byte {self.at}")
        return SCALAR_BYTES[kind]


def check_gguf(path: Path) -> None:
    """Raises ModelNotFound, or ModelCorrupt when ``path`` is no GGUF file or not a whole one."""
    file_type(path)


def file_type(path: Path) -> int | None:
    """``general.file_type``, the format of most weights, where the file tells; it is checked
    as by ``check_gguf``."""
    if not path.is_file():
        raise ModelNotFound(f"{path}: no such file; give the path of a GGUF model")
    if path.stat().st_size < len(MAGIC):
        raise ModelCorrupt(f"{path}: the file is empty; fetch it again")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            return _check(data, len(data))
        except _Damaged as damage:
            raise ModelCorrupt(f"{path}: {damage}; fetch it again") from None


def _check(data: mmap.mmap, size: int) -> int | None:
    reader = _Reader(data)
    if (magic := reader.take(4)) != MAGIC:
        raise _Damaged(f"not a GGUF file (it begins with {magic!r})")
    if (version := reader.u32()) not in VERSIONS:
        raise _Damaged(f"GGUF version {version} is not one of {VERSIONS}")
    tensors, entries = reader.u64(), reader.u64()
    numbers = _numbers(reader, entries)
    alignment = numbers.get(b"general.alignment") or DEFAULT_ALIGNMENT
    ends = [_tensor_end(reader) for _ in range(tensors)]
    start = -(-reader.at // alignment) * alignment
    if (whole := start + max(ends, default=0)) > size:
        raise _Damaged(f"it is cut short: {size} bytes where its tensors take {whole}")
    return numbers.get(b"general.file_type")


def _numbers(reader: _Reader, entries: int) -> dict[bytes, int]:
    """Steps over the metadata; returns its 32-bit numbers."""
    numbers = {}
    for _ in range(entries):
        key, kind = reader.string(), reader.u32()
        if kind == U32:
            numbers[key] = reader.u32()
        else:
            reader.skip_value(kind)
    return numbers


def _tensor_end(reader: _Reader) -> int:
    """Where the next tensor ends, in bytes after the start of the tensors' data."""
    reader.string()
    weights = 1
    for _ in range(reader.u32()):
        weights *= reader.u64()
    kind, offset = reader.u32(), reader.u64()
    per_block, block_bytes = BLOCKS.get(kind, (weights or 1, 1))
    return offset + -(-weights // per_block) * block_bytes
