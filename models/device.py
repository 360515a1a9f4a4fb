"""Where a stage's engine can run on this machine, found by asking the engine's own library."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from models.errors import ModelError

Device = Literal["cpu", "cuda"]


class DeviceUnavailable(ModelError):
    """The wanted device is not usable for this stage."""


@dataclass(frozen=True, slots=True)
class DeviceChoice:
    """A device and, in plain words, why."""

    device: Device
    reason: str


def choose_device(stage: str, wanted: str) -> DeviceChoice:
    """``stage``: stt, llm, tts, vad or turn; ``wanted``: auto, cpu or cuda.

    Raises DeviceUnavailable where ``cuda`` is asked for and is not usable, and ValueError
    for another stage or device.
    """
    if stage not in _CHECKS:
        raise ValueError(f"stage {stage!r} is none of {', '.join(_CHECKS)}")
    if wanted == "cpu":
        return DeviceChoice("cpu", "asked for")
    if wanted not in ("auto", "cuda"):
        raise ValueError(f"device {wanted!r} is none of auto, cpu, cuda")
    obstacle = _CHECKS[stage]()
    if obstacle is None:
        return DeviceChoice("cuda", "CUDA is usable")
    if wanted == "cuda":
        raise DeviceUnavailable(
            f"{stage}: device cuda is not usable: {obstacle}; set device to auto or cpu"
        )
    return DeviceChoice("cpu", obstacle)


def _ctranslate2_obstacle() -> str | None:
    import ctranslate2

    if ctranslate2.get_cuda_device_count() > 0:
        return None
    return "CTranslate2 finds no CUDA device"


def _onnxruntime_obstacle() -> str | None:
    import onnxruntime

    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        return "this onnxruntime has no CUDA provider (onnxruntime-gpu has)"
    # The GPU build lists its provider on machines without a GPU too.
    return _ctranslate2_obstacle()


def _llama_cpp_obstacle() -> str | None:
    import llama_cpp

    if not llama_cpp.llama_supports_gpu_offload():
        return "this llama-cpp-python is built without GPU support (rebuild with -DGGML_CUDA=on)"
    return _ctranslate2_obstacle()


def _small_model_obstacle() -> str | None:
    return "the model is so small that the way to a GPU costs more than the work"


_CHECKS: dict[str, Callable[[], str | None]] = {
    "stt": _ctranslate2_obstacle,
    "llm": _llama_cpp_obstacle,
    "tts": _onnxruntime_obstacle,
    "vad": _small_model_obstacle,
    "turn": _small_model_obstacle,
}
