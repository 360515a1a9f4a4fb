import ctranslate2
import llama_cpp
import onnxruntime
import pytest

from models.device import DeviceUnavailable, choose_device


def _pretend(monkeypatch: pytest.MonkeyPatch, gpu: bool) -> None:
    providers = ["CUDAExecutionProvider"] if gpu else []
    monkeypatch.setattr(ctranslate2, "get_cuda_device_count", lambda: int(gpu))
    monkeypatch.setattr(llama_cpp, "llama_supports_gpu_offload", lambda: gpu)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: providers)


@pytest.mark.parametrize("stage", ["stt", "llm", "tts"])
def test_auto_takes_a_gpu_where_there_is_one(stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _pretend(monkeypatch, gpu=True)
    assert choose_device(stage, "auto").device == "cuda"
    assert choose_device(stage, "cuda").device == "cuda"
    assert choose_device(stage, "cpu").device == "cpu"


@pytest.mark.parametrize("stage", ["stt", "llm", "tts", "vad", "turn"])
def test_without_one_auto_says_why(stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _pretend(monkeypatch, gpu=False)
    choice = choose_device(stage, "auto")
    assert choice.device == "cpu" and choice.reason
    with pytest.raises(DeviceUnavailable, match=f"{stage}: device cuda is not usable: "):
        choose_device(stage, "cuda")


def test_unknown_words_are_named() -> None:
    with pytest.raises(ValueError, match="device 'gpu'"):
        choose_device("stt", "gpu")
    with pytest.raises(ValueError, match="stage 'asr'"):
        choose_device("asr", "auto")
