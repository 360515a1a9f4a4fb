"""Cutting voices into stages: the real default voice, and graphs made to be refused."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from models.loading import locate
from models.lock import home
from models.onnx_session import open_session
from models.tts.piper import Piper
from models.tts.piper_graph import CannotSplit, in_two_dimensions, split_graph
from models.tts.piper_split import open_split, snr_db
from models.tts.windows import windows

VOICE = "piper-en_US-joe-medium"
IDS = [1, 0, *(id_ for phoneme in range(14, 74) for id_ in (phoneme, 0)), 2]
"""Sixty phonemes as the voice takes them, between its marks of beginning and end."""


@pytest.fixture(scope="module")
def _shared_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(autouse=True)
def _own_home(monkeypatch: pytest.MonkeyPatch, _shared_home: Path) -> None:
    # Shared by the tests of this file: splitting a voice takes seconds.
    monkeypatch.setenv("OFFHOOK_HOME", str(_shared_home))


def test_windows_of_the_default_voice_equal_the_unsplit_model_and_are_kept() -> None:
    voice = locate(VOICE, "tts")
    split = open_split(voice, device="cpu", threads=1)
    shape = split.shape
    assert shape.flow_overlap_frames, "the flow was not told apart"
    # Without noise the voice is deterministic.
    feed = {
        "input": np.array([IDS], dtype=np.int64),
        "input_lengths": np.array([len(IDS)], dtype=np.int64),
        "scales": np.array([0, 1, 0], dtype=np.float32),
    }
    whole = np.ravel(open_session(voice, device="cpu", threads=1).run(None, feed)[0])
    sentence = split.begin(IDS, 0, 1, 0)
    assert sentence.frames * shape.hop_samples == whole.size
    cuts = list(windows(sentence.frames))
    assert len(cuts) > 3
    pieces = [sentence.decode(start, end) for start, end in cuts]
    assert snr_db(whole, np.concatenate(pieces)) > 75
    (kept,) = (home() / "cache" / "piper").iterdir()
    onnx_files = {"text.onnx", "flow.onnx", "decoder.onnx"}
    assert {file.name for file in kept.iterdir()} == {*onnx_files, "shape.json"}


def test_closing_the_iterator_stops_the_work() -> None:
    voice = Piper(locate(VOICE, "tts"))
    assert voice.streams and voice.whole_because is None
    runs: list[str] = []
    split: Any = voice._split
    for stage in ("_text", "_flow", "_decoder"):
        setattr(split, stage, _Counted(getattr(split, stage), stage, runs))
    text = "Our office is open from nine to five. Saturdays are shorter, from ten until one."
    chunks = iter(voice.synthesize(text))
    assert not runs
    next(chunks)
    assert runs == ["_text", "_flow", "_decoder"]
    # The first flow reaches as far as the second window, which has the decoder alone to wait for.
    next(chunks)
    assert runs[3:] == ["_decoder"]
    chunks.close()  # type: ignore[attr-defined]
    assert len(runs) == 4
    assert list(chunks) == [] and len(runs) == 4


def test_a_kept_stage_that_is_not_the_one_written_is_not_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    voice = locate(VOICE, "tts")
    open_split(voice, device="cpu", threads=1)
    (kept,) = (home() / "cache" / "piper").iterdir()
    own = tmp_path / "home" / "cache" / "piper" / kept.name
    shutil.copytree(kept, own)
    monkeypatch.setenv("OFFHOOK_HOME", str(tmp_path / "home"))
    # One weight is another: a graph that loads, and would speak nonsense.
    content = bytearray((own / "decoder.onnx").read_bytes())
    content[len(content) // 2] ^= 0xFF
    (own / "decoder.onnx").write_bytes(content)

    def refuse(voice: Path) -> None:
        raise CannotSplit("asked once more")

    monkeypatch.setattr("models.tts.piper_split.split_graph", refuse)
    with pytest.raises(CannotSplit, match="asked once more"):
        open_split(voice, device="cpu", threads=1)


class _Counted:
    """A session that writes down its runs."""

    def __init__(self, session: Any, name: str, runs: list[str]) -> None:
        self._session = session
        self._name = name
        self._runs = runs

    def run(self, outputs: Any, feed: Any) -> Any:
        self._runs.append(self._name)
        return self._session.run(outputs, feed)


def _graph(tmp_path: Path, *, upsamples: bool, conditioned: bool) -> Path:
    """Input ``input`` -> Conv -> (Add of ``sid``) -> ConvTranspose -> ``output``."""
    kernel = np.ones((1, 1, 1), dtype=np.float32)
    nodes = [helper.make_node("Conv", ["input", "w"], ["pre"])]
    last = "pre"
    if conditioned:
        nodes.append(helper.make_node("Add", ["pre", "sid"], ["sum"]))
        last = "sum"
    kind = "ConvTranspose" if upsamples else "Conv"
    nodes.append(helper.make_node(kind, [last, "w"], ["output"]))
    inputs = ["input", *(["sid"] if conditioned else [])]
    return _saved(tmp_path, nodes, inputs, {"w": kernel})


def _saved(
    tmp_path: Path,
    nodes: list[onnx.NodeProto],
    inputs: list[str],
    weights: dict[str, NDArray[np.float32]],
) -> Path:
    def tensor(name: str) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2, None])

    graph = helper.make_graph(
        nodes,
        "voice",
        [tensor(name) for name in inputs],
        [tensor("output")],
        [onnx.numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    path = tmp_path / "voice.onnx"
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8),
        str(path),
    )
    return path


def test_a_voice_without_upsampling_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CannotSplit, match="no upsampling"):
        split_graph(_graph(tmp_path, upsamples=False, conditioned=False))


def test_a_voice_of_many_speakers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CannotSplit, match="a Add stands before"):
        split_graph(_graph(tmp_path, upsamples=True, conditioned=True))


def _vits(tmp_path: Path, *, embedding: bool) -> Path:
    """The text doubles, noise of no size is added, the flow triples, the decoder doubles."""
    random = np.random.default_rng(0)
    kernel = random.standard_normal((2, 2, 3), dtype=np.float32)
    nodes = [
        helper.make_node("Add", ["input", "input"], ["text"]),
        helper.make_node("Add", ["text", "one"], ["mask"]),
        helper.make_node("RandomNormalLike", ["text"], ["noise"]),
        helper.make_node("Mul", ["noise", "zero"], ["scaled"]),
        helper.make_node("Add", ["text", "scaled"], ["z"]),
        helper.make_node("Mul", ["z", "mask"], ["masked"]),
        helper.make_node("Add", ["masked", "text" if embedding else "one"], ["latent_like"]),
        helper.make_node("Conv", ["latent_like", "w"], ["pre"], pads=[1, 1], kernel_shape=[3]),
        helper.make_node("LeakyRelu", ["pre"], ["relu"], alpha=0.1),
        helper.make_node("ConvTranspose", ["relu", "w"], ["output"], strides=[2], dilations=[1]),
    ]
    weights = {"w": kernel, "one": np.ones(1, np.float32), "zero": np.zeros(1, np.float32)}
    return _saved(tmp_path, nodes, ["input"], weights)


def _run(model: bytes | Path, **feed: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    source = model if isinstance(model, bytes) else str(model)
    session = onnxruntime.InferenceSession(source, providers=["CPUExecutionProvider"])
    outputs: list[NDArray[np.float32]] = session.run(None, feed)
    return outputs


def test_the_flow_is_cut_off_where_it_reads_the_prior_and_a_mask_alone(tmp_path: Path) -> None:
    voice = _vits(tmp_path, embedding=False)
    given = np.random.default_rng(1).standard_normal((1, 2, 9), dtype=np.float32)
    graphs = split_graph(voice)
    assert graphs.flow is not None
    prior, mask = _run(graphs.text, input=given)
    (latent,) = _run(graphs.flow, prior=prior, mask=mask)
    (audio,) = _run(graphs.decoder, latent=latent)
    assert np.allclose(audio, _run(voice, input=given)[0], atol=1e-5)


def test_a_flow_that_reads_more_stays_with_the_text(tmp_path: Path) -> None:
    voice = _vits(tmp_path, embedding=True)
    given = np.random.default_rng(1).standard_normal((1, 2, 9), dtype=np.float32)
    graphs = split_graph(voice)
    assert graphs.flow is None
    (latent,) = _run(graphs.text, input=given)
    (audio,) = _run(graphs.decoder, latent=latent)
    assert np.allclose(audio, _run(voice, input=given)[0], atol=1e-5)


def test_a_decoder_over_an_image_of_one_row_gives_the_same(tmp_path: Path) -> None:
    decoder = split_graph(_vits(tmp_path, embedding=False)).decoder
    image = in_two_dimensions(decoder)
    assert image is not None
    latent = np.random.default_rng(2).standard_normal((1, 2, 9), dtype=np.float32)
    flat, wide = _run(decoder, latent=latent)[0], _run(image, latent=latent)[0]
    assert wide.shape[2] == 1, "the arithmetic is still that of a sequence"
    assert np.allclose(np.ravel(wide), np.ravel(flat), atol=1e-5)


def test_a_decoder_with_an_operation_of_its_own_stays_a_sequence(tmp_path: Path) -> None:
    decoder = onnx.load_from_string(split_graph(_vits(tmp_path, embedding=False)).decoder)
    relu = next(node for node in decoder.graph.node if node.op_type == "LeakyRelu")
    relu.op_type = "Softmax"
    del relu.attribute[:]
    assert in_two_dimensions(decoder.SerializeToString()) is None


def test_a_voice_that_cannot_be_split_speaks_whole_sentences(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(voice: Path, *, device: str, threads: int) -> None:
        raise CannotSplit("built otherwise")

    monkeypatch.setattr("models.tts.piper.open_split", refuse)
    voice = Piper(locate(VOICE, "tts"))
    assert not voice.streams and voice.whole_because == "built otherwise"
    chunks = list(voice.synthesize("Good morning. How are you?"))
    assert len(chunks) == 2 and all(chunk.pcm.size > 5000 for chunk in chunks)
