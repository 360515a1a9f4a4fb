"""ONNX sessions as a box with many calls wants them: few threads, none of them spinning."""

from pathlib import Path
from typing import Any

import onnxruntime

from models.errors import ModelCorrupt

_PROVIDERS = {
    "cpu": ["CPUExecutionProvider"],
    # Whatever CUDA has no kernel for runs on the processor.
    "cuda": [
        ("CUDAExecutionProvider", {"cudnn_conv_algo_search": "HEURISTIC"}),
        "CPUExecutionProvider",
    ],
}


def open_session(model: Path | bytes, *, device: str, threads: int) -> Any:
    """An ``onnxruntime.InferenceSession``. Raises ModelCorrupt where the file is no such model."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    # A spinning pool burns the core that another stage needs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    source = model if isinstance(model, bytes) else str(model)
    try:
        return onnxruntime.InferenceSession(source, options, providers=_PROVIDERS[device])
    except (
        onnxruntime.capi.onnxruntime_pybind11_state.InvalidProtobuf,
        onnxruntime.capi.onnxruntime_pybind11_state.InvalidGraph,
        onnxruntime.capi.onnxruntime_pybind11_state.Fail,
        onnxruntime.capi.onnxruntime_pybind11_state.NoSuchFile,
    ) as error:
        named = "a generated model" if isinstance(model, bytes) else str(model)
        raise ModelCorrupt(f"{named}: no ONNX model that can be loaded: {error}") from error
