"""A Piper voice in stages, so that a sentence's first audio need not wait for its last.

The text stage runs once a sentence; flow and decoder turn any window of frames into samples,
as in one piece as long as a window carries enough neighbouring frames on each side.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from loguru import logger
from numpy.typing import NDArray

from models.errors import ModelCorrupt
from models.lock import ModelLock, home
from models.onnx_session import open_session
from models.tts.piper_graph import CannotSplit, in_two_dimensions, split_graph
from models.tts.windows import flow_reach

_FORMAT = 2
_SHAPE_FILE = "shape.json"
_OVERLAPS_FRAMES = (10, 16, 24, 32)
_FLOW_OVERLAPS_FRAMES = (16, 20, 24, 28, 32, 40, 48)
_LEAST_SNR_DB = 80.0
# The decoder amplifies what the latent lacks, by 15 dB in the default voice.
_LEAST_FLOW_SNR_DB = 95.0
_PROBE_FRAMES = 120
_PROBE_WINDOW_FRAMES = 12
_PROBE_RUNS = 5

Latent = NDArray[np.float32]


class _Session(Protocol):
    def run(self, outputs: Any, feed: dict[str, NDArray[Any]]) -> list[Latent]: ...


@dataclass(frozen=True, slots=True)
class Shape:
    """What the windows of a split voice are made of."""

    channels: int
    """Of the latent."""
    hop_samples: int
    """Audio samples a frame."""
    overlap_frames: int
    """Neighbours that a window of the decoder needs on each side."""
    flow_overlap_frames: int
    """And one of the flow; 0 where the flow runs with the text."""


class SplitVoice:
    """The stages, loaded. Safe from many threads."""

    def __init__(
        self, text: _Session, flow: _Session | None, decoder: _Session, shape: Shape
    ) -> None:
        self._text = text
        self._flow = flow
        self._decoder = decoder
        self.shape = shape

    def begin(
        self, ids: Sequence[int], noise: float, length: float, noise_w: float
    ) -> "SplitSentence":
        """Runs the text stage on a sentence's phoneme ids. The numbers are the voice's scales."""
        feed: dict[str, NDArray[Any]] = {
            "input": np.array([ids], dtype=np.int64),
            "input_lengths": np.array([len(ids)], dtype=np.int64),
            "scales": np.array([noise, length, noise_w], dtype=np.float32),
        }
        prior, *mask = self._text.run(None, feed)
        return SplitSentence(self, prior, mask[0] if mask else None)

    def flow(self, prior: Latent, mask: Latent, start: int, end: int) -> Latent:
        """The latent of the frames ``start`` to ``end``; all of shape (1, channels, frames)."""
        assert self._flow is not None
        first, last = _with_neighbours(start, end, self.shape.flow_overlap_frames, prior.shape[2])
        feed = {"prior": _cut(prior, first, last), "mask": _cut(mask, first, last)}
        return self._flow.run(None, feed)[0][:, :, start - first : end - first]

    def decode(self, latent: Latent, start: int, end: int) -> NDArray[np.float32]:
        """Samples of the frames ``start`` to ``end``. ``latent``: (1, channels, frames)."""
        first, last = _with_neighbours(start, end, self.shape.overlap_frames, latent.shape[2])
        audio = np.ravel(self._decoder.run(None, {"latent": _cut(latent, first, last)})[0])
        hop = self.shape.hop_samples
        return audio[(start - first) * hop : (end - first) * hop]


class SplitSentence:
    """One sentence, of which so much is made as was asked for. For one thread."""

    def __init__(self, voice: SplitVoice, prior: Latent, mask: Latent | None) -> None:
        self._voice = voice
        self._prior = prior
        self._mask = mask
        self.frames: int = prior.shape[2]
        # Without a flow of its own the text stage gave the latent itself.
        self._latent = prior if mask is None else prior[:, :, :0]

    def decode(self, start: int, end: int) -> NDArray[np.float32]:
        """Samples of the frames ``start`` to ``end``, in order from 0."""
        overlap = self._voice.shape.overlap_frames
        made = self._latent.shape[2]
        if self._mask is not None and made < min(self.frames, end + overlap):
            reach = flow_reach(start, end, overlap, self.frames)
            more = self._voice.flow(self._prior, self._mask, made, reach)
            self._latent = np.concatenate([self._latent, more], axis=2)
        return self._voice.decode(self._latent, start, end)


def open_split(voice: Path, *, device: str, threads: int) -> SplitVoice:
    """Loads a voice's stages, made on first use and kept in Offhook's home.

    Raises CannotSplit, each time, for a voice whose graph is of another build.
    """
    lock = ModelLock()
    folder = home() / "cache" / "piper" / f"{lock.sha256(voice)[:16]}-{_FORMAT}"
    if (folder / _SHAPE_FILE).is_file():
        try:
            return _open_kept(folder, lock, device, threads)
        except (ModelCorrupt, ValueError, TypeError, KeyError, OSError) as error:
            logger.warning("{}: unreadable, the voice is split again: {}", folder, error)

    def load(model: bytes) -> Any:
        return open_session(model, device=device, threads=threads)

    graphs = split_graph(voice)
    files = {"text.onnx": graphs.text, "decoder.onnx": graphs.decoder}
    decoder = load(graphs.decoder)
    image = in_two_dimensions(graphs.decoder)
    channels = _channels(decoder)
    if image is not None and _is_better(decoder, wide := load(image), channels):
        files["decoder.onnx"], decoder = image, wide
    flow = None
    if graphs.flow is not None:
        files["flow.onnx"], flow = graphs.flow, load(graphs.flow)
    shape = measure(decoder, flow, channels)
    try:
        _keep(folder, lock, files, shape)
    except OSError as error:
        logger.warning("{}: not kept, split again at the next start: {}", folder, error)
    return SplitVoice(load(graphs.text), flow, decoder, shape)


def _open_kept(folder: Path, lock: ModelLock, device: str, threads: int) -> SplitVoice:
    kept = json.loads((folder / _SHAPE_FILE).read_text(encoding="utf-8"))
    for name, digest in kept["files"].items():
        if lock.sha256(folder / name) != digest:
            raise ModelCorrupt(f"{name} is not the file that was written")
    sessions = {
        name: open_session(folder / name, device=device, threads=threads) for name in kept["files"]
    }
    return SplitVoice(
        sessions["text.onnx"],
        sessions.get("flow.onnx"),
        sessions["decoder.onnx"],
        Shape(**kept["shape"]),
    )


def measure(decoder: _Session, flow: _Session | None, channels: int) -> Shape:
    """Finds hop and overlaps by running the stages: windowed must equal whole.

    Raises CannotSplit where no overlap tried makes it so.
    """
    probe = _probe(channels)
    whole = np.ravel(decoder.run(None, {"latent": probe})[0])
    hop, rest = divmod(whole.size, _PROBE_FRAMES)
    if rest:
        raise CannotSplit(f"{whole.size} samples of {_PROBE_FRAMES} frames: no whole hop")

    def decoded(overlap: int, start: int, end: int) -> NDArray[np.float32]:
        voice = SplitVoice(decoder, None, decoder, Shape(channels, hop, overlap, 0))
        return voice.decode(probe, start, end)

    overlap = _least_overlap("decoder", _OVERLAPS_FRAMES, _LEAST_SNR_DB, decoded)
    if flow is None:
        return Shape(channels, hop, overlap, 0)
    mask = np.ones((1, 1, _PROBE_FRAMES), dtype=np.float32)

    def flowed(flow_overlap: int, start: int, end: int) -> NDArray[np.float32]:
        voice = SplitVoice(decoder, flow, decoder, Shape(channels, hop, overlap, flow_overlap))
        # Frames first, so that windows join by concatenation.
        return np.ravel(voice.flow(probe, mask, start, end)[0].T)

    flow_overlap = _least_overlap("flow", _FLOW_OVERLAPS_FRAMES, _LEAST_FLOW_SNR_DB, flowed)
    return Shape(channels, hop, overlap, flow_overlap)


def _least_overlap(
    stage: str,
    overlaps: Sequence[int],
    least_snr_db: float,
    made: Callable[[int, int, int], NDArray[np.float32]],
) -> int:
    whole = made(_PROBE_FRAMES, 0, _PROBE_FRAMES)
    for overlap in overlaps:
        windows = [
            made(overlap, start, start + _PROBE_WINDOW_FRAMES)
            for start in range(0, _PROBE_FRAMES, _PROBE_WINDOW_FRAMES)
        ]
        if snr_db(whole, np.concatenate(windows)) >= least_snr_db:
            return overlap
    raise CannotSplit(f"windows of the {stage} differ from the whole even with {overlap} frames")


def _is_better(decoder: _Session, other: _Session, channels: int) -> bool:
    """Whether the other gives the same audio in less time, the best of a few runs each."""
    feed = {"latent": _probe(channels)}
    if snr_db(np.ravel(decoder.run(None, feed)[0]), np.ravel(other.run(None, feed)[0])) < (
        _LEAST_SNR_DB
    ):
        return False
    took_s: tuple[list[float], list[float]] = ([], [])
    for _ in range(_PROBE_RUNS):
        for session, times in zip((decoder, other), took_s, strict=True):
            started_s = time.perf_counter()
            session.run(None, feed)
            times.append(time.perf_counter() - started_s)
    return min(took_s[1]) < min(took_s[0])


def _channels(decoder: _Session) -> int:
    """Found by asking: the graph's own declaration of the latent names no number."""
    for channels in (192, 96, 256, 384, 512):
        try:
            decoder.run(None, {"latent": np.zeros((1, channels, 4), dtype=np.float32)})
        except RuntimeError:
            continue
        return channels
    raise CannotSplit("the latent has an unusual number of channels")


def _probe(channels: int) -> Latent:
    size = (1, channels, _PROBE_FRAMES)
    return np.random.default_rng(0).standard_normal(size, dtype=np.float32)


def _with_neighbours(start: int, end: int, overlap: int, frames: int) -> tuple[int, int]:
    return max(0, start - overlap), min(frames, end + overlap)


def _cut(tensor: Latent, first: int, last: int) -> Latent:
    return np.ascontiguousarray(tensor[:, :, first:last])


def snr_db(wanted: NDArray[np.float32], actual: NDArray[np.float32]) -> float:
    """How far ``actual`` is from ``wanted``, both of one shape; infinite where it is not."""
    noise = float(np.square(wanted - actual, dtype=np.float64).sum())
    signal = float(np.square(wanted, dtype=np.float64).sum())
    return float(10 * np.log10(signal / noise)) if noise else float("inf")


def _keep(folder: Path, lock: ModelLock, models: dict[str, bytes], shape: Shape) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in models.items():
        _replace(folder / name, content)
    # Comes last: where it is, the graphs are whole.
    digests = {name: lock.sha256(folder / name) for name in models}
    kept = {"shape": asdict(shape), "files": digests}
    _replace(folder / _SHAPE_FILE, json.dumps(kept, indent=1).encode())


def _replace(file: Path, content: bytes) -> None:
    temporary = file.with_name(f"{file.name}.new")
    temporary.write_bytes(content)
    temporary.replace(file)
