"""Cutting voices in two: the real default voice, and graphs made to be refused."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from models.loading import locate
from models.lock import home
from models.tts.piper import Piper
from models.tts.piper_split import CannotSplit, open_split, split_graph


@pytest.fixture(autouse=True)
def _own_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OFFHOOK_HOME", str(tmp_path / "home"))


def test_windows_of_the_default_voice_equal_the_whole_and_are_kept() -> None:
    voice = locate("piper-en_US-joe-medium", "tts")
    split = open_split(voice, device="cpu", threads=1)
    shape = split.shape
    latent = np.random.default_rng(3).standard_normal((1, shape.channels, 60), dtype=np.float32)
    whole = split.decode(latent, 0, 60)
    assert whole.size == 60 * shape.hop_samples
    pieces = [
        split.decode(latent, 0, 12),
        split.decode(latent, 12, 36),
        split.decode(latent, 36, 60),
    ]
    noise = np.square(np.concatenate(pieces) - whole).sum()
    assert 10 * np.log10(np.square(whole).sum() / max(noise, 1e-20)) > 80

    (kept,) = (home() / "cache" / "piper").iterdir()
    assert {file.name for file in kept.iterdir()} == {"encoder.onnx", "decoder.onnx", "shape.json"}
    (kept / "decoder.onnx").write_bytes(b"garbage")
    again = open_split(voice, device="cpu", threads=1)
    assert again.shape == shape
    assert np.allclose(again.decode(latent, 12, 36), pieces[1], atol=1e-5)


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

    def tensor(name: str) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, None])

    graph = helper.make_graph(
        nodes,
        "voice",
        [tensor("input"), *([tensor("sid")] if conditioned else [])],
        [tensor("output")],
        [onnx.numpy_helper.from_array(kernel, "w")],
    )
    path = tmp_path / "voice.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)]), str(path))
    return path


def test_a_voice_without_upsampling_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CannotSplit, match="no upsampling"):
        split_graph(_graph(tmp_path, upsamples=False, conditioned=False))


def test_a_voice_of_many_speakers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CannotSplit, match="a Add stands before"):
        split_graph(_graph(tmp_path, upsamples=True, conditioned=True))


def test_a_voice_that_cannot_be_split_speaks_whole_sentences(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(voice: Path, *, device: str, threads: int) -> None:
        raise CannotSplit("built otherwise")

    monkeypatch.setattr("models.tts.piper.open_split", refuse)
    voice = Piper(locate("piper-en_US-joe-medium", "tts"))
    assert not voice.streams
    chunks = list(voice.synthesize("Good morning. How are you?"))
    assert len(chunks) == 2 and all(chunk.pcm.size > 5000 for chunk in chunks)
