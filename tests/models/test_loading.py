from pathlib import Path

import pytest

from models.catalogue import Catalogue, parse
from models.errors import ModelCorrupt, ModelNotFound
from models.loading import load_llm, load_stt, load_tts, load_turn, load_vad, locate

_CONTENT = b"GGUF and so on"
_SHA256 = "1ff03ffde880e467bb6421108fb54c7c357615d16d94e5e9b087d50a2a2a5bfb"


@pytest.fixture(autouse=True)
def _own_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OFFHOOK_HOME", str(tmp_path / "home"))


def _catalogue(folder: Path, sha256: str = _SHA256) -> Catalogue:
    return parse(
        f"""
        [[model]]
        name = "mine"
        kind = "llm"
        source = "path:{folder}"
        licence = "MIT"
        language = "en"
        memory_mb = 1
        memory_measured = false
        files = [ {{ path = "a.gguf", size_bytes = {len(_CONTENT)}, sha256 = "{sha256}" }} ]
        """,
        "test",
    )


def test_a_truncated_file_is_named_with_what_was_expected(tmp_path: Path) -> None:
    (tmp_path / "a.gguf").write_bytes(_CONTENT[:-1])
    with pytest.raises(ModelCorrupt) as error:
        locate("mine", "llm", _catalogue(tmp_path))
    said = str(error.value)
    assert str(tmp_path / "a.gguf") in said
    assert "13 bytes where 14" in said and _SHA256 in said and "put the right file there" in said


def test_a_file_of_the_right_size_and_wrong_content_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.gguf").write_bytes(_CONTENT[:-1] + b"?")
    with pytest.raises(ModelCorrupt, match=f"where {_SHA256}"):
        locate("mine", "llm", _catalogue(tmp_path))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"a\.gguf is not there"):
        locate("mine", "llm", _catalogue(tmp_path))


def test_a_hub_model_not_fetched_yet_names_the_command() -> None:
    with pytest.raises(ModelNotFound, match="fetch it: offhook models fetch qwen3-8b"):
        load_llm("qwen3-8b")


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="no such file or folder"):
        load_llm(str(tmp_path / "none.gguf"))


def test_a_file_that_is_no_gguf_never_reaches_the_loader(tmp_path: Path) -> None:
    (tmp_path / "a.gguf").write_bytes(b"<!DOCTYPE html>")
    with pytest.raises(ModelCorrupt, match=r"begins with b'<!DO' where b'GGUF'"):
        load_llm(str(tmp_path / "a.gguf"))


def test_a_folder_that_is_no_whisper_names_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"")
    with pytest.raises(ModelCorrupt, match=r"config\.json is missing"):
        load_stt(str(tmp_path))


def test_a_whisper_folder_with_garbage_in_it(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"garbage" * 100)
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelCorrupt, match="model.bin"):
        load_stt(str(tmp_path))


def test_a_whisper_folder_whose_tokenizer_is_cut(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"")
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "tokenizer.json").write_text('{"model":')
    with pytest.raises(ModelCorrupt, match=r"tokenizer\.json: not valid JSON"):
        load_stt(str(tmp_path))


@pytest.mark.parametrize("load", [load_tts, load_vad, load_turn])
def test_garbage_that_is_called_onnx(load: object, tmp_path: Path) -> None:
    assert callable(load)
    model = tmp_path / "a.onnx"
    model.write_bytes(b"garbage" * 100)
    Path(f"{model}.json").write_text("{}")
    with pytest.raises(ModelCorrupt, match=r"a\.onnx"):
        load(str(model))


def test_a_voice_without_its_second_file(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(b"x")
    with pytest.raises(ModelCorrupt, match=r"a\.onnx\.json: missing"):
        load_tts(str(tmp_path / "a.onnx"))


def test_a_voice_is_not_a_language_model(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(b"x")
    with pytest.raises(ModelCorrupt, match=r"a model of kind llm is a \.gguf file"):
        load_llm(str(tmp_path / "a.onnx"))
