"""A Piper voice's ONNX graph (VITS, https://arxiv.org/abs/2106.06103) cut into its stages.

*Text* (transformer, durations) needs the whole sentence and draws the prior, a noisy latent of
one column a frame. *Flow* turns the prior into the latent and *decoder* the latent into samples;
both are convolutions, so a few neighbouring frames are all that a window of them needs.
Stages are found by structure: another voice may name its tensors otherwise.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PASSED_THROUGH = {"LeakyRelu", "Relu", "Identity", "Dropout"}
_NOISE = {"RandomNormalLike", "RandomNormal"}
_FLAT = {"Conv", "ConvTranspose", "LeakyRelu", "Relu", "Tanh", "Add", "Sum", "Div", "Mul"}
"""Operations that mean the same with one axis more, once a convolution's kernel has it too."""


class CannotSplit(Exception):
    """The voice's graph is not built as expected; it has to be run whole."""


@dataclass(frozen=True, slots=True)
class Graphs:
    """A voice's stages, serialised."""

    text: bytes
    """From the voice's own inputs to ``prior`` (1, channels, frames) and ``mask`` (1, 1, frames);
    to ``latent`` where the flow could not be told apart."""
    flow: bytes | None
    """From ``prior`` and ``mask`` to ``latent`` (1, channels, frames)."""
    decoder: bytes
    """From ``latent`` to audio."""


def split_graph(voice: Path) -> Graphs:
    """Cuts a voice before its flow, where that is found, and before its decoder.

    Raises CannotSplit.
    """
    import onnx  # costs a second and 50 MB, and is needed once a voice

    model = onnx.load(str(voice))
    graph = model.graph
    latent = _before_upsampling(graph)
    decoder_nodes = _ancestors(graph, [graph.output[0].name], {latent})
    given = {value.name for value in graph.input}
    for node in decoder_nodes:
        if given.intersection(node.input):
            raise CannotSplit("the decoder depends on the input, as with many speakers")
        if any(attribute.HasField("g") for attribute in node.attribute):
            raise CannotSplit(f"the decoder holds a nested graph ({node.op_type})")
    decoder = _part(model, decoder_nodes, {latent: "latent"}, graph.output)
    borders = _flow_inputs(graph, latent)
    if borders is None:
        text_nodes = _ancestors(graph, [latent], set())
        text = _part(model, text_nodes, {}, {latent: "latent"})
        return Graphs(text.SerializeToString(), None, decoder.SerializeToString())
    prior, mask = borders
    names = {prior: "prior", mask: "mask"}
    text = _part(model, _ancestors(graph, [prior, mask], set()), {}, names)
    flow_nodes = _ancestors(graph, [latent], {prior, mask})
    flow = _part(model, flow_nodes, names, {latent: "latent"})
    return Graphs(*(part.SerializeToString() for part in (text, flow, decoder)))


def in_two_dimensions(decoder: bytes) -> bytes | None:
    """The decoder as convolutions over an image of one row, exactly the same arithmetic.

    onnxruntime has blocked (NCHWc) kernels for images and none for sequences.
    None where the decoder holds an operation that would not survive it.
    """
    import onnx

    model = onnx.load_from_string(decoder)
    graph = model.graph
    weights = {weight.name: weight for weight in graph.initializer}
    nodes = list(graph.node)
    *body, last = nodes
    if last.op_type == "Unsqueeze":
        # What makes a fourth axis of three; here there are four.
        nodes = [*body, onnx.helper.make_node("Identity", [last.input[0]], list(last.output))]
    else:
        body = nodes
    widened = set()
    for node in body:
        if node.op_type not in _FLAT:
            return None
        if "Conv" in node.op_type:
            kernel = weights.get(node.input[1])
            if kernel is None or not _widen(node, kernel, node.input[1] in widened):
                return None
            widened.add(node.input[1])
        elif any(len(weights[name].dims) > 1 for name in node.input if name in weights):
            return None
        node.input[:] = ["image" if name == "latent" else name for name in node.input]
    axis = onnx.helper.make_tensor("image_axis", onnx.TensorProto.INT64, [1], [2])
    unsqueeze = onnx.helper.make_node("Unsqueeze", ["latent", "image_axis"], ["image"])
    del graph.node[:]
    graph.node.extend([unsqueeze, *nodes])
    graph.initializer.append(axis)
    serialised: bytes = model.SerializeToString()
    return serialised


def _widen(node: Any, kernel: Any, done: bool) -> bool:
    """One axis of size 1 more for a sequence convolution. False where it is none."""
    for attribute in node.attribute:
        values = list(attribute.ints)
        if attribute.name in ("kernel_shape", "dilations", "strides") and len(values) == 1:
            attribute.ints[:] = [1, *values]
        elif attribute.name == "pads" and len(values) == 2:
            attribute.ints[:] = [0, values[0], 0, values[1]]
        elif attribute.name == "output_padding" and len(values) == 1:
            attribute.ints[:] = [0, *values]
        elif attribute.name != "group":
            return False
    if not done:
        outer, inner, taps = kernel.dims
        kernel.dims[:] = [outer, inner, 1, taps]
    return True


def _before_upsampling(graph: Any) -> str:
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


def _flow_inputs(graph: Any, latent: str) -> tuple[str, str] | None:
    """The prior, which is where the last noise is added in, and the mask that the flow reads."""
    before = _ancestors(graph, [latent], set())
    noise = next((node for node in reversed(before) if node.op_type in _NOISE), None)
    if noise is None:
        return None
    node = noise
    while node.op_type != "Add":
        readers = [reader for reader in before if node.output[0] in reader.input]
        if len(readers) != 1 or readers[0].op_type not in ("Mul", "Add"):
            return None
        node = readers[0]
    prior = node.output[0]
    reached = {prior}
    outside: set[str] = set()
    known = {weight.name for weight in graph.initializer}
    known.update(n.output[0] for n in before if n.op_type == "Constant")
    for node in before:
        if reached.intersection(node.input):
            reached.update(node.output)
            outside.update(name for name in node.input if name and name not in known)
    outside -= reached
    # A speaker's embedding beside the mask could not be sliced like it.
    return (prior, outside.pop()) if len(outside) == 1 and latent in reached else None


def _ancestors(graph: Any, outputs: list[str], cuts: set[str]) -> list[Any]:
    """The nodes between ``cuts`` and ``outputs``, in the graph's order."""
    wanted = set(outputs) - cuts
    found = []
    for node in reversed(graph.node):
        if wanted.intersection(node.output):
            found.append(node)
            wanted.update(name for name in _names(node) if name not in cuts)
    return found[::-1]


def _part(model: Any, nodes: list[Any], inputs: dict[str, str], outputs: Any) -> Any:
    """A model of its own. ``inputs``, ``outputs``: tensors and their new names.

    Without ``inputs`` the part takes the model's own; ``outputs`` may be the model's own too.
    """
    import onnx

    def tensor(name: str) -> Any:
        shape: list[str | int | None] = [1, f"{name}_channels", "frames"]
        return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)

    given = [tensor(name) for name in inputs.values()]
    renamed = dict(inputs)
    made = outputs
    if isinstance(outputs, dict):
        renamed |= outputs
        made = [tensor(name) for name in outputs.values()]
    copies = []
    for node in nodes:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.input[:] = [renamed.get(name, name) for name in node.input]
        copy.output[:] = [renamed.get(name, name) for name in node.output]
        copies.append(copy)
    used = {name for node in nodes for name in _names(node)}
    weights = [weight for weight in model.graph.initializer if weight.name in used]
    graph = onnx.helper.make_graph(
        copies, model.graph.name, given or model.graph.input, made, weights
    )
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
