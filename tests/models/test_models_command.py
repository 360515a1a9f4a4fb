import argparse
from pathlib import Path

import pytest

from models.command import add_parser, set_default
from models.errors import ModelError


@pytest.fixture(autouse=True)
def _own_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OFFHOOK_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "160")


def _offhook(*words: str) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--config")
    add_parser(parser.add_subparsers(required=True))
    args = parser.parse_args(words)
    status = args.func(args)
    assert isinstance(status, int)
    return status


def test_list_shows_what_is_here_and_what_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    assert _offhook("models", "list") == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line}
    assert lines["whisper-tiny.en"].split()[-1] == "yes"
    assert "to fetch" in lines["qwen3-8b"] and "Apache-2.0" in lines["qwen3-8b"]


def test_show_gives_the_checksum_in_one_piece(capsys: pytest.CaptureFixture[str]) -> None:
    assert _offhook("models", "show", "silero") == 0
    out = capsys.readouterr().out
    assert "1a153a22f4509e292a94e67d6f9b85e8deb25b4988682b7e174c65279d8788e3" in out
    assert _offhook("models", "show", "qwen3-8b") == 0
    assert "unknown until fetched" in capsys.readouterr().out


def test_an_unknown_name_is_an_error_that_helps(capsys: pytest.CaptureFixture[str]) -> None:
    assert _offhook("models", "show", "qwen3-8") == 1
    assert "nearest: qwen3-8b" in capsys.readouterr().err


def test_fetching_an_installed_model_says_where_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert _offhook("models", "fetch", "silero") == 0
    assert "silero_vad.onnx" in capsys.readouterr().out


def test_use_writes_one_key_and_leaves_the_rest(tmp_path: Path) -> None:
    config = tmp_path / "offhook.toml"
    config.write_text('# mine\n[models]\nllm = "x"  # why\n\n[agent]\nname = "Ada"\n')
    assert _offhook("--config", str(config), "models", "use", "silero") == 0
    assert config.read_text() == (
        '# mine\n[models]\nllm = "x"  # why\nvad = "silero"\n\n[agent]\nname = "Ada"\n'
    )


def test_use_makes_the_file_where_there_is_none(tmp_path: Path) -> None:
    config = tmp_path / "offhook.toml"
    set_default(config, "stt", "whisper-tiny.en")
    assert config.read_text() == '[models]\nstt = "whisper-tiny.en"\n'


def test_use_of_a_model_that_cannot_be_fetched_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    config = tmp_path / "offhook.toml"
    assert _offhook("--config", str(config), "models", "use", "qwen3-8b") == 1
    assert "offhook models fetch qwen3-8b" in capsys.readouterr().err
    assert not config.exists()


@pytest.mark.parametrize("text", ["[models", "models = 3\n"])
def test_a_broken_configuration_is_named_and_kept(tmp_path: Path, text: str) -> None:
    config = tmp_path / "offhook.toml"
    config.write_text(text)
    with pytest.raises(ModelError, match=r"offhook\.toml"):
        set_default(config, "stt", "whisper-tiny.en")
    assert config.read_text() == text
