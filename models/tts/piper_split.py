"""A Piper voice cut in two graphs, so that a sentence's first audio need not wait for its last.

The encoder (text, durations, flow) runs once a sentence and gives a latent of frames; the
decoder (a convolutional vocoder) turns any window of frames into samples, exactly as in one
piece as long as the window carries enough neighbouring frames on each side.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from loguru import logger
from numpy.typing import NDArray

from models.errors import ModelCorrupt
from models.lock import ModelLock, home
from models.onnx_session import open_session

_FORMAT = 1
_SHAPE_FILE = "shape.json"
_OVERLAPS_FRAMES = (10, 16, 24, 32)
_LEAST_SNR_DB = 80.0
_PROBE_FRAMES = 120
_PROBE_WINDOW_FRAMES = 12
_PASSED_THROUGH = {"LeakyRelu", "Relu", "Identity", "Dropout"}


class _Session(Protocol):
    def run(self, outputs: Any, feed: dict[str, NDArray[Any]]) -> list[NDArray[np.float32]]: ...


class CannotSplit(Exception):
    """The voice's graph is not built as expected; it has to be run whole."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What the windows of a split voice are made of."""

    channels: int
    """Of the latent."""
    hop_samples: int
    """Audio samples a frame."""
    overlap_frames: int
    """Neighbours that a window needs on each side."""


class SplitVoice:
    """The two halves, loaded. Safe from many threads."""

    def __init__(self, encoder: _Session, decoder: _Session, shape: Shape) -> None:
        self.encoder = encoder
        self._decoder = decoder
        self.shape = shape

    def decode(self, latent: NDArray[np.float32], start: int, end: int) -> NDArray[np.float32]:
        """Samples of the frames ``start`` to ``end``. ``latent``: (1, channels, frames)."""
        first = max(0, start - self.shape.overlap_frames)
        last = min(latent.shape[2], end + self.shape.overlap_frames)
        window = np.ascontiguousarray(latent[:, :, first:last])
        audio = np.ravel(self._decoder.run(None, {"latent": window})[0])
        hop = self.shape.hop_samples
        return audio[(start - first) * hop : (end - first) * hop]


def open_split(voice: Path, *, device: str, threads: int) -> SplitVoice:
    """Loads a voice's two halves, made on first use and kept in Offhook's home.

    Raises CannotSplit, each time, for a voice whose graph is of another build.
    """
    folder = home() / "cache" / "piper" / f"{ModelLock().sha256(voice)[:16]}-{_FORMAT}"
    if (folder / _SHAPE_FILE).is_file():
        try:
            return _open_kept(folder, device, threads)
        except (ModelCorrupt, ValueError, TypeError, OSError) as error:
            logger.warning("{}: unreadable, the voice is split again: {}", folder, error)
    encoder_model, decoder_model = split_graph(voice)
    encoder = open_session(encoder_model, device=device, threads=threads)
    decoder = open_session(decoder_model, device=device, threads=threads)
    shape = measure(decoder)
    try:
        _keep(folder, {"encoder.onnx": encoder_model, "decoder.onnx": decoder_model}, shape)
    except OSError as error:
        logger.warning("{}: not kept, split again at the next start: {}", folder, error)
    return SplitVoice(encoder, decoder, shape)


def _open_kept(folder: Path, device: str, threads: int) -> SplitVoice:
    shape = Shape(**json.loads((folder / _SHAPE_FILE).read_text(encoding="utf-8")))
    encoder = open_session(folder / "encoder.onnx", device=device, threads=threads)
    decoder = open_session(folder / "decoder.onnx", device=device, threads=threads)
    return SplitVoice(encoder, decoder, shape)


def split_graph(voice: Path) -> tuple[bytes, bytes]:
    """The encoder (text to ``latent``) and the decoder (``latent`` to audio), serialised.

    Raises CannotSplit.
    """
    import onnx  # costs a second and 50 MB, and is needed once a voice

    model = onnx.load(str(voice))
    graph = model.graph
    cut = _cut(graph)
    decoder_nodes = _ancestors(graph, graph.output[0].name, cut)
    given = {value.name for value in graph.input}
    for node in decoder_nodes:
        if given.intersection(node.input):
            raise CannotSplit("the decoder depends on the input, as with many speakers")
    latent = onnx.helper.make_tensor_value_info(
        cut, onnx.TensorProto.FLOAT, [1, "channels", "frames"]
    )
    kept = {node.output[0] for node in decoder_nodes if node.op_type != "Constant"}
    encoder_nodes = [node for node in graph.node if node.output[0] not in kept]
    encoder = _part(model, encoder_nodes, graph.input, [latent])
    decoder = _part(model, decoder_nodes, [latent], graph.output)
    for node in decoder.graph.node:
        node.input[:] = ["latent" if name == cut else name for name in node.input]
    decoder.graph.input[0].name = "latent"
    return encoder.SerializeToString(), decoder.SerializeToString()


def measure(decoder: _Session) -> Shape:
    """Finds hop and overlap by running the decoder: windowed must equal whole.

    Raises CannotSplit where no overlap tried makes it so.
    """
    channels = _channels(decoder)
    size = (1, channels, _PROBE_FRAMES)
    latent = np.random.default_rng(0).standard_normal(size, dtype=np.float32)
    whole = np.ravel(decoder.run(None, {"latent": latent})[0])
    hop, rest = divmod(whole.size, _PROBE_FRAMES)
    if rest:
        raise CannotSplit(f"{whole.size} samples of {_PROBE_FRAMES} frames: no whole hop")
    for overlap in _OVERLAPS_FRAMES:
        shape = Shape(channels, hop, overlap)
        voice = SplitVoice(decoder, decoder, shape)
        windows = [
            voice.decode(latent, start, start + _PROBE_WINDOW_FRAMES)
            for start in range(0, _PROBE_FRAMES, _PROBE_WINDOW_FRAMES)
        ]
        if _snr_db(whole, np.concatenate(windows)) >= _LEAST_SNR_DB:
            return shape
    raise CannotSplit(f"windows differ from the whole even with {overlap} frames of overlap")


def _cut(graph: Any) -> str:
    """The latent's tensor: what the convolution before the first upsampling reads."""
    made_by = {output: node for node in graph.node for output in node.output}
    node = next((node for node in graph.node if node.op_type == "ConvTranspose"), None)
    if node is None:
        raise CannotSplit("the graph has no upsampling")
    while (node := made_by.get(node.input[0])) is not None:
        if node.op_type == "Conv":
            return str(node.input[0])
        if node.op_type not in _PASSED_THROUGH:
            raise CannotSplit(f"a {node.op_type} stands before the first upsampling")
    raise CannotSplit("no convolution stands before the first upsampling")


def _ancestors(graph: Any, output: str, cut: str) -> list[Any]:
    """The nodes between ``cut`` and ``output``, in the graph's order."""
    wanted = {output}
    found = []
    for node in reversed(graph.node):
        if wanted.intersection(node.output):
            if any(attribute.HasField("g") for attribute in node.attribute):
                raise CannotSplit(f"the decoder holds a nested graph ({node.op_type})")
            found.append(node)
            wanted.update(name for name in node.input if name != cut)
    return found[::-1]


def _part(model: Any, nodes: list[Any], inputs: Any, outputs: Any) -> Any:
    import onnx

    used = {name for node in nodes for name in _names(node)}
    weights = [weight for weight in model.graph.initializer if weight.name in used]
    graph = onnx.helper.make_graph(nodes, model.graph.name, inputs, outputs, weights)
    return onnx.helper.make_model(
        graph, opset_imports=model.opset_import, ir_version=model.ir_version
    )


def _names(node: Any) -> list[str]:
    """All tensors a node reads, those of its nested graphs included."""
    names = list(node.input)
    for attribute in node.attribute:
        if attribute.HasField("g"):
            names += [name for inner in attribute.g.node for name in _names(inner)]
    return names


def _channels(decoder: Any) -> int:
    """Found by asking: the graph's own declaration of the latent names no number."""
    for channels in (192, 96, 256, 384, 512):
        try:
            decoder.run(None, {"latent": np.zeros((1, channels, 4), dtype=np.float32)})
        except RuntimeError:
            continue
        return channels
    raise CannotSplit("the latent has an unusual number of channels")


def _snr_db(wanted: NDArray[np.float32], actual: NDArray[np.float32]) -> float:
    noise = float(np.square(wanted - actual, dtype=np.float64).sum())
    signal = float(np.square(wanted, dtype=np.float64).sum())
    return float(10 * np.log10(signal / noise)) if noise else float("inf")


def _keep(folder: Path, models: dict[str, bytes], shape: Shape) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    # The shape comes last: where it is, the graphs are whole.
    files = models | {_SHAPE_FILE: json.dumps(asdict(shape)).encode()}
    for name, content in files.items():
        temporary = folder / f"{name}.new"
        temporary.write_bytes(content)
        temporary.replace(folder / name)
