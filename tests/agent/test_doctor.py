"""The doctor: each fact about a machine becomes fine, or what to do."""

import json
import os
import socket
from argparse import ArgumentParser
from pathlib import Path

import pytest

from agent import doctor, findings
from agent.config import Config, ModelsConfig
from agent.findings import Finding
from agent.records.source import Source

AVX2_BUILD = "CPU : SSE3 = 1 | AVX = 1 | AVX2 = 1 | AVX512 = 0 | REPACK = 1 | "


def doctor_args(*arguments: str, config: Path | None = None) -> object:
    parser = ArgumentParser()
    doctor.add_parser(parser.add_subparsers())
    args = parser.parse_args(["doctor", *arguments])
    args.config = config
    return args


@pytest.mark.parametrize(
    ("finding", "state", "words"),
    [
        (findings.processor(8, ["AVX512", "AVX2"], "x86_64"), "fine", "8 cores, x86_64, AVX512"),
        (findings.processor(1, ["NEON"], "arm64"), "note", "2 cores or more"),
        (findings.processor(8, [], "riscv64"), "note", "expect slow answers"),
        (findings.llama_build(AVX2_BUILD, ["AVX2", "AVX"]), "fine", "AVX2"),
        (findings.llama_build(AVX2_BUILD, ["AVX512", "AVX2"]), "note", "GGML_NATIVE=ON"),
        (findings.llama_build("", ["NEON"]), "note", "no vector instructions"),
        (findings.memory(8000, 1200), "fine", "8000 MB available"),
        (findings.memory(1000, 1200), "broken", "smaller models"),
        (findings.disk(9000, "/data"), "fine", "/data"),
        (findings.disk(100, "/data"), "broken", "free at least 500 MB"),
        (findings.port("127.0.0.1", 80, None, None), "fine", "free"),
        (findings.port("h", 80, "Permission denied", None), "broken", "OFFHOOK_SERVER__PORT"),
        (findings.port("h", 80, "in use", "nginx (process 3)"), "broken", "held by nginx"),
        (findings.microphone("127.0.0.1"), "fine", "localhost"),
        (findings.microphone("0.0.0.0"), "note", "https"),
        (findings.device("stt", "cpu", "no GPU"), "fine", "cpu (no GPU)"),
        (findings.device("stt", None, "install CUDA"), "broken", "install CUDA"),
        (findings.model("stt", "tiny", None, 78.4), "fine", "tiny, 78 MB, checksums match"),
        (findings.model("stt", "/my/model", None, None), "fine", "/my/model"),
        (findings.model("stt", "tiny", "fetch it", None), "broken", "fetch it"),
        (findings.settings(None, None), "fine", "defaults"),
        (findings.settings("x.toml", "x.toml:3: no"), "broken", "x.toml:3: no"),
        (findings.records("calls", None, 0), "fine", "calls"),
        (findings.records("calls", None, 2), "note", "2 files wait"),
        (findings.records("calls", "cannot be written", 0), "broken", "cannot be written"),
    ],
)
def test_what_a_fact_means(finding: Finding, state: str, words: str) -> None:
    assert finding.state == state and words in finding.text
    assert "\n" not in finding.text


def test_only_what_is_broken_fails() -> None:
    fine, note, broken = (Finding("a", s, "b") for s in ("fine", "note", "broken"))  # type: ignore[arg-type]
    assert findings.exit_status([fine, note]) == 0
    assert findings.exit_status([fine, broken, note]) == 1


def test_a_port_that_is_taken_names_its_holder() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        number = listener.getsockname()[1]
        finding = doctor.look_at_port("127.0.0.1", number)
        assert finding.state == "broken" and str(number) in finding.text
        who = doctor.holder(number)
        assert who is None or f"process {os.getpid()}" in who
    assert doctor.look_at_port("127.0.0.1", number).state == "fine"


def test_a_host_that_is_not_ours() -> None:
    assert doctor.look_at_port("192.0.2.1", 7860).state == "broken"


def test_a_model_that_is_missing_says_what_to_do(tmp_path: Path) -> None:
    finding = doctor.look_at_model("llm", str(tmp_path / "none.gguf"))
    assert finding.state == "broken" and "none.gguf" in finding.text
    finding = doctor.look_at_model("stt", "whisper-tinny.en")
    assert finding.state == "broken" and "whisper-tiny.en" in finding.text


def test_the_memory_of_ones_own_model_is_its_size(tmp_path: Path) -> None:
    own = tmp_path / "own.gguf"
    own.write_bytes(bytes(2_000_000))
    known = doctor.models_mb(Config())
    config = Config(models=ModelsConfig(llm=str(own), stt=str(own)))
    assert 4 < doctor.models_mb(config) < known


def test_a_device_that_is_asked_for_in_vain() -> None:
    config = Config(models=ModelsConfig(device="cuda", llm_device="cpu"))
    assert doctor.look_at_device("llm", config).state == "fine"
    found = doctor.look_at_device("stt", config)
    assert found.state == "fine" and "cuda" in found.text or found.state == "broken"


def test_records_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "calls.sqlite3"
    assert doctor.look_at_records(Source(path)).state == "fine" and not path.exists()
    path.write_bytes(b"no database" * 1000)
    assert doctor.look_at_records(Source(path)).state == "broken"


def test_llama_cpp_tells_what_it_was_compiled_with() -> None:
    assert findings.enabled(AVX2_BUILD) == ["SSE3", "AVX", "AVX2", "REPACK"]
    assert findings.enabled(doctor.llama_system_info())


def test_the_whole_examination(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the real default models of this machine."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OFFHOOK_HOME", str(tmp_path))
    monkeypatch.setenv("OFFHOOK_SERVER__PORT", "0")
    monkeypatch.setenv("OFFHOOK_RECORDS__PATH", str(tmp_path / "calls.sqlite3"))
    status = doctor.run(doctor_args("--json"))  # type: ignore[arg-type]
    found = {f["subject"]: f for f in json.loads(capsys.readouterr().out)}
    assert {f["state"] for s, f in found.items() if s.startswith("model ")} == {"fine"}
    assert status == int(any(f["state"] == "broken" for f in found.values()))
    assert set(found) == {
        *("settings", "processor", "llama.cpp", "memory", "disk", "port", "telephone"),
        "microphone",
        *(f"model for {kind}" for kind in ("stt", "llm", "tts", "vad", "turn")),
        *(f"device of {stage}" for stage in ("stt", "llm", "tts")),
        "call records",
        "calls at once",
        "threads",
        "weights",
    }


def test_wrong_settings_are_one_finding_among_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OFFHOOK_HOME", str(tmp_path))
    monkeypatch.setattr(doctor, "look_at_model", lambda kind, name: Finding(kind, "fine", name))
    wrong = tmp_path / "offhook.toml"
    wrong.write_text("[server]\nprot = 1\n")
    assert doctor.run(doctor_args(config=wrong)) == 1  # type: ignore[arg-type]
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("BROKEN  settings: ") and "did you mean `port`?" in printed[0]
    assert any(line.startswith("fine    processor: ") or "note" in line for line in printed[1:])
