"""Damaged and hostile ONNX files: what somebody might send, and what a bad disk makes of one.

``mutated(data, seed)`` is ``data`` with something wrong in it; the same seed does the same.
``outcome(data)`` opens it as every command does and reads it as far as it can be read.
"""

from __future__ import annotations

import random
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass

import onnx
import torch
from onnx import helper

from snncc.diagnostics import SnnccError
from snncc.frontends.onnx.module import FileModule, example_of
from snncc.frontends.onnx.reading import read_bytes
from snncc.frontends.torch import trace

SECONDS = 60.0
"""No file may take longer."""

MEGABYTES = 4096
"""What all of them together may add to the memory of the process."""

Change = Callable[[onnx.ModelProto, random.Random], None]


@dataclass(frozen=True)
class Outcome:
    """How it went: "read", or the codes of the findings; and how long it took."""

    said: str
    seconds: float


def mutated(data: bytes, seed: int) -> bytes:
    """``data`` with bytes or with parts of the model changed."""
    chance = random.Random(seed)
    way = chance.randrange(4)
    if way == 0:
        return data[: chance.randrange(len(data))]
    if way == 1:
        changed = bytearray(data)
        for _ in range(chance.choice((1, 3, 20))):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        return bytes(changed)
    model = onnx.load_model_from_string(data)
    for _ in range(chance.choice((1, 1, 2, 4))):
        if model.graph.node:
            chance.choice(CHANGES)(model, chance)
    return model.SerializeToString()


def outcome(data: bytes) -> Outcome:
    """Open and read a file. Whatever is raised but SnnccError is a bug."""
    begin = time.monotonic()
    try:
        file = read_bytes(data, "file.onnx")
        module = FileModule(file).eval()
        known = example_of(file)
        shape = known["shape"] or [
            3 if isinstance(n, str) else n for n in file.shapes[file.body.inputs[0]]
        ]
        single = len(file.body.inputs) > 1
        more = {"layout": "N", "time_steps": 5} if single else {"layout": known["layout"]}
        trace(module, torch.zeros(tuple(map(int, shape))), **more)
        said = "read"
    except SnnccError as error:
        said = ",".join(dict.fromkeys(finding.code for finding in error.findings))
        if any("Traceback" in f.message or "\n" in f.message for f in error.findings):
            raise ValueError(f"no sentence: {error}") from error
    return Outcome(said, time.monotonic() - begin)


def memory() -> float:
    """The largest memory of this process so far, in megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


# -- changes -------------------------------------------------------------------------------------


def _node(model: onnx.ModelProto, chance: random.Random) -> onnx.NodeProto:
    return chance.choice(model.graph.node)


def _other_operator(model: onnx.ModelProto, chance: random.Random) -> None:
    kinds = ["If", "Loop", "Scan", "LSTM", "NonZero", "Einsum", "Gemm", "Expand", "Reshape",
             "ConstantOfShape", "Range", "Tile", "Resize", "Pad", "Slice", "Softmax", "Where",
             "QuantizeLinear", "SequenceAt", "RandomNormal", "Conv", "MaxPool"]  # fmt: skip
    _node(model, chance).op_type = chance.choice(kinds)


def _other_domain(model: onnx.ModelProto, chance: random.Random) -> None:
    _node(model, chance).domain = chance.choice(["com.evil", "ai.onnx.ml", "org.snncc", "x" * 500])


def _other_input(model: onnx.ModelProto, chance: random.Random) -> None:
    """Values of another node, one behind it too: a cycle."""
    node, other = _node(model, chance), _node(model, chance)
    if node.input and other.output:
        node.input[chance.randrange(len(node.input))] = chance.choice(other.output)


def _other_sizes(model: onnx.ModelProto, chance: random.Random) -> None:
    """A tensor's shape that does not fit its numbers."""
    if model.graph.initializer:
        tensor = chance.choice(model.graph.initializer)
        if tensor.dims:
            sizes = (-1, 0, 1, 2**31, 2**62, 7)
            tensor.dims[chance.randrange(len(tensor.dims))] = chance.choice(sizes)


def _other_type(model: onnx.ModelProto, chance: random.Random) -> None:
    if model.graph.initializer:
        chance.choice(model.graph.initializer).data_type = chance.choice([0, 7, 8, 10, 11, 16, 99])


def _other_numbers(model: onnx.ModelProto, chance: random.Random) -> None:
    """Weights that are no numbers, or shapes and indices far outside."""
    if model.graph.initializer:
        tensor = chance.choice(model.graph.initializer)
        if tensor.raw_data:
            width = 8 if tensor.data_type == 7 else 4
            word = chance.choice([b"\xff" * width, b"\x7f" * width, b"\0" * (width - 1) + b"\x40"])
            place = width * chance.randrange(max(1, len(tensor.raw_data) // width))
            raw = bytearray(tensor.raw_data)
            raw[place : place + width] = word
            tensor.raw_data = bytes(raw)


def _elsewhere(model: onnx.ModelProto, chance: random.Random) -> None:
    """A tensor that is said to lie in another file."""
    if model.graph.initializer:
        tensor = chance.choice(model.graph.initializer)
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        where = chance.choice(["/etc/passwd", "../secret", "weights.bin", ".", ""])
        tensor.external_data.add(key="location", value=where)
        tensor.external_data.add(key="offset", value="-4")
        tensor.external_data.add(key="length", value=str(2**40))


def _other_attribute(model: onnx.ModelProto, chance: random.Random) -> None:
    nodes = [node for node in model.graph.node if node.attribute]
    if nodes:
        attribute = chance.choice(chance.choice(nodes).attribute)
        number = chance.choice([-1, 0, 2, 10**6, 2**31, 2**62])
        attribute.i = number
        for place in range(len(attribute.ints)):
            attribute.ints[place] = chance.choice([number, attribute.ints[place]])


def _no_attribute(model: onnx.ModelProto, chance: random.Random) -> None:
    nodes = [node for node in model.graph.node if node.attribute]
    if nodes:
        del chance.choice(nodes).attribute[0]


def _huge(model: onnx.ModelProto, chance: random.Random) -> None:
    """A value of 2³² numbers, and more, in a few bytes."""
    size = helper.make_tensor("huge", 7, [4], [2**16, 2**16, 2**10, 2**10])
    model.graph.initializer.append(size)
    kind = chance.choice(["ConstantOfShape", "Expand", "Tile"])
    first = model.graph.input[0].name
    inputs = ["huge"] if kind == "ConstantOfShape" else [first, "huge"]
    model.graph.node.insert(0, helper.make_node(kind, inputs, ["huge.value"]))
    node = _node(model, chance)
    if node.input and node.op_type != kind:
        node.input[chance.randrange(len(node.input))] = "huge.value"


def _bomb(model: onnx.ModelProto, chance: random.Random) -> None:
    """Functions that call the one before twice."""
    opset = model.opset_import[0]
    for level in range(40):
        body = [helper.make_node("Neg", ["x"], ["y"])] if not level else [
            helper.make_node(f"f{level - 1}", ["x"], ["t"], domain="bomb"),
            helper.make_node(f"f{level - 1}", ["t"], ["y"], domain="bomb"),
        ]  # fmt: skip
        imports = [opset, helper.make_opsetid("bomb", 1)]
        model.functions.append(
            helper.make_function("bomb", f"f{level}", ["x"], ["y"], body, imports)
        )
    model.opset_import.append(helper.make_opsetid("bomb", 1))
    node = _node(model, chance)
    node.domain, node.op_type = "bomb", "f39"
    del node.attribute[:]
    del node.input[1:]


def _recursion(model: onnx.ModelProto, chance: random.Random) -> None:
    body = [helper.make_node("f", ["x"], ["y"], domain="again")]
    imports = [model.opset_import[0], helper.make_opsetid("again", 1)]
    model.functions.append(helper.make_function("again", "f", ["x"], ["y"], body, imports))
    model.opset_import.append(helper.make_opsetid("again", 1))
    node = _node(model, chance)
    node.domain, node.op_type = "again", "f"
    del node.attribute[:]
    del node.input[1:]


def _endless(model: onnx.ModelProto, chance: random.Random) -> None:
    """A loop of 2⁶² turns."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["d"]), helper.make_node("Neg", ["v"], ["w"])], "body",
        [helper.make_tensor_value_info("i", 7, []), helper.make_tensor_value_info("c", 9, []),
         helper.make_tensor_value_info("v", 1, None)],
        [helper.make_tensor_value_info("d", 9, []), helper.make_tensor_value_info("w", 1, None)],
    )  # fmt: skip
    turns = chance.choice([2**62, 10**7, 150_000])
    model.graph.initializer.append(helper.make_tensor("turns", 7, [], [turns]))
    model.graph.initializer.append(helper.make_tensor("true", 9, [], [True]))
    first = model.graph.input[0].name
    node = helper.make_node("Loop", ["turns", "true", first], ["looped"], body=body)
    model.graph.node.insert(0, node)
    for each in list(model.graph.node)[1:]:
        for place, name in enumerate(each.input):
            if name == first:
                each.input[place] = "looped"


def _other_version(model: onnx.ModelProto, chance: random.Random) -> None:
    model.opset_import[0].version = chance.choice([0, 1, 7, 999, 2**40])


def _other_shape(model: onnx.ModelProto, chance: random.Random) -> None:
    """An input of a size that nobody can hold, or none."""
    dims = model.graph.input[0].type.tensor_type.shape.dim
    if dims:
        sizes = (-5, 0, 1, 4, 10**5, 2**40)
        dims[chance.randrange(len(dims))].dim_value = chance.choice(sizes)


def _lost(model: onnx.ModelProto, chance: random.Random) -> None:
    del model.graph.node[chance.randrange(len(model.graph.node))]


def _bad_name(model: onnx.ModelProto, chance: random.Random) -> None:
    names = ["", "\x1b[31m", "a/../../b", "forward", "x" * 10_000, "__class__", "\u202e"]
    _node(model, chance).name = chance.choice(names)


CHANGES: tuple[Change, ...] = (
    _other_operator, _other_domain, _other_input, _other_sizes, _other_type, _other_numbers,
    _elsewhere, _other_attribute, _no_attribute, _huge, _bomb, _recursion, _endless,
    _other_version, _other_shape, _lost, _bad_name,
)  # fmt: skip
