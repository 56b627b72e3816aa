"""What every op has, in one table: an op without an entry in each room fails here.

The rooms are the shape, the values, the matrix and the synapses (where the op is linear), the text,
the meaning, the work, the lowering, and what of a framework becomes the op.
"""

from __future__ import annotations

import ast
import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import snncc
from snncc.backends.onnx import operators as onnx_operators
from snncc.frontends.torch import trace
from snncc.ir import ops, shapes, synapses
from snncc.ir.graph import Graph, Node, Signal
from snncc.ir.inference import with_values
from snncc.ir.interpreter import TensorStore, apply, run_graph
from snncc.ir.matrix import matrix
from snncc.ir.network import Neuron
from snncc.ir.ops import (
    OPS,
    AdaptivePool,
    Argmax,
    Broadcast,
    Concat,
    Constant,
    Conv,
    ConvTranspose,
    Delay,
    Dense,
    Elementwise,
    Identity,
    Input,
    MatMul,
    Membrane,
    Norm,
    Normalise,
    Op,
    OverTime,
    Pad,
    Permute,
    Pool,
    Reduce,
    Ref,
    Repeat,
    Reshape,
    Scale,
    Slice,
    Softmax,
    Sparse,
    Spiking,
    Upsample,
    WholeSpiking,
)  # fmt: skip
from snncc.ir.registers import FixedNeuron
from snncc.ir.shapes import output_shape
from snncc.ir.synapses import fan_out
from snncc.ir.text import TextError, parse_network, parse_op, print_op
from snncc.ir.values import REAL, SPIKE
from snncc.ir.work import GraphMeter, Operations
from snncc.nn import IF
from snncc.passes.lower import Lower

TENSORS = {
    "w": np.array([[1.0, 2], [3, 4]]),
    "k": np.array([[[[1.0, 2]]]]),
    "mean": np.array([1.0]), "variance": np.array([3.0]),
    "data": np.array([5.0]), "indices": np.array([1]), "indptr": np.array([0, 0, 1]),
}  # fmt: skip
W, K = Ref("w"), Ref("k")

GIVEN = {
    (2,): [[1, 0], [0, 1]],
    (1, 2): [[[1, 0]], [[0, 1]]],
    (2, 2): [[[1, 0], [0, 0]], [[0, 1], [1, 1]]],
    (1, 2, 2): [[[[1, 0], [0, 0]]], [[[0, 1], [1, 1]]]],
}
"""The spikes of two steps that an argument of each shape is given."""

COPY, E = [[1, 0], [0, 1]], math.e / (1 + math.e)


@dataclass(frozen=True)
class In:
    """The op is not made from a call of torch, but in this module of the front ends."""

    module: str


@dataclass(frozen=True)
class Never:
    """No front end makes the op, and this is why."""

    reason: str


@dataclass(frozen=True)
class Row:
    """One op on arguments of ``shapes`` and what each room says of it.

    ``values`` are for arguments that are spikes, ``yields`` is for those in GIVEN, ``work`` is on
    real values for one step of one sample. ``matrix`` and ``synapses`` (the fan-out of each source
    neuron) are None where the op is no linear map; a ``Norm`` has no matrix, because it becomes a
    ``Scale`` first. ``lowered`` holds the maps that lead from spikes to a neuron behind the op, or
    the code of the finding. ``made_by`` is what a traced module computes, of an input of the shape
    ``traced`` or of the op's own argument, when the op is found in its Graph.
    """

    op: Op
    shapes: tuple[tuple[int, ...], ...]
    shape: tuple[int, ...]
    values: str
    text: str
    yields: object
    matrix: list[list[float]] | None
    synapses: object
    lowered: list[list[str]] | str
    work: Operations
    made_by: Callable[[torch.Tensor], torch.Tensor] | In | Never
    traced: tuple[int, ...] | None = None
    rate: str = "step"
    takes: str = "step"


def mac(number):
    return Operations(mac=number)


def ac(number):
    return Operations(ac=number)


FREE = Operations()
V, C, M, I = (2,), (1, 2), (2, 2), (1, 2, 2)  # noqa: E741
ONES = [[[1, 1], [1, 1]]]


class Calls(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


class Flat(Calls):
    """On images: T and N in one axis, as torch's layers take them."""

    def forward(self, x):
        return self.function(x.flatten(0, 1)).unflatten(0, x.shape[:2])


def attention(x):
    return F.scaled_dot_product_attention(x, x, x)


TABLE = [
    Row(Input("spike"), (), V, "{0,1}", "input{kind='spike'}", GIVEN[V], None, None, [[]], FREE,
        lambda x: x),
    Row(Constant(3.0), (), (), "{3}", "constant{value=3.0}", 3.0, None, None, [], FREE,
        lambda x: x + 3, rate="static"),
    Row(Conv(K), (I,), (1, 2, 1), "real", "conv{weight=@k}",
        [[[[1], [0]]], [[[2], [3]]]], [[1, 2, 0, 0], [0, 0, 1, 2]], ONES, [["conv"]], mac(4),
        Flat(nn.Conv2d(1, 1, (1, 2)))),
    Row(ConvTranspose(K), (I,), (1, 2, 3), "real", "convtranspose{weight=@k}",
        [[[[1, 2, 0], [0, 0, 0]]], [[[0, 1, 2], [1, 3, 2]]]],
        [[1, 0, 0, 0], [2, 1, 0, 0], [0, 2, 0, 0], [0, 0, 1, 0], [0, 0, 2, 1], [0, 0, 0, 2]],
        [[[2, 2], [2, 2]]], [["convtranspose"]], mac(8),
        Flat(nn.ConvTranspose2d(1, 1, (1, 2)))),
    Row(Dense(W), (V,), V, "real", "dense{weight=@w}", [[1, 3], [2, 4]], [[1, 2], [3, 4]], [2, 2],
        [["dense"]], mac(4), nn.Linear(2, 2)),
    Row(Sparse(Ref("data"), Ref("indices"), Ref("indptr"), V), (V,), V, "real",
        "sparse{data=@data, indices=@indices, indptr=@indptr, shape=(2,)}", [[0, 0], [0, 5]],
        [[0, 0], [0, 5]], [0, 1], [["sparse"]], mac(1),
        Never("realise-projections writes a map out synapse by synapse")),
    Row(Pool("sum", (1, 2), (1, 2)), (I,), (1, 2, 1), "{0,1,2}",
        "pool{kind='sum', kernel=(1, 2), stride=(1, 2)}", [[[[1], [0]]], [[[1], [2]]]],
        [[1, 1, 0, 0], [0, 0, 1, 1]], ONES, [["pool"]], mac(4),
        Flat(lambda x: F.avg_pool2d(x, (1, 2), divisor_override=1))),
    Row(AdaptivePool((1, 1)), (I,), (1, 1, 1), "{0,0.25,0.5,0.75,1}",
        "adaptivepool{size=(1, 1)}", [[[[0.25]]], [[[0.75]]]], [[0.25] * 4], ONES,
        [["adaptivepool"]], mac(4), Flat(lambda x: F.adaptive_avg_pool2d(x, 1))),
    Row(Norm(Ref("mean"), Ref("variance"), None, None, 1.0), (I,), I, "real",
        "norm{mean=@mean, variance=@variance, scale=None, shift=None, epsilon=1.0}",
        [[[[0, -0.5], [-0.5, -0.5]]], [[[-0.5, 0], [0, 0]]]], None, ONES, [["scale"]], mac(4),
        Flat(nn.BatchNorm2d(1))),
    Row(Scale(0.5), (V,), V, "{0,0.5}", "scale{factor=0.5}", [[0.5, 0], [0, 0.5]],
        [[0.5, 0], [0, 0.5]], [1, 1], [["scale"]], mac(2), attention,
        traced=(1, 2, 2)),
    Row(Reshape((2, 1)), (V,), (2, 1), "{0,1}", "reshape{shape=(2, 1)}",
        [[[1], [0]], [[0], [1]]], COPY, [1, 1], [["reshape"]], FREE, lambda x: x.unsqueeze(-1)),
    Row(Permute((0, 2, 1)), (I,), I, "{0,1}", "permute{axes=(0, 2, 1)}",
        [[[[1, 0], [0, 0]]], [[[0, 1], [1, 1]]]],
        [[1, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1]], ONES, [["permute"]], FREE,
        lambda x: x.transpose(3, 4)),
    Row(Broadcast((2, 2)), (C,), M, "{0,1}", "broadcast{shape=(2, 2)}",
        [[[1, 0], [1, 0]], [[0, 1], [0, 1]]], [[1, 0], [0, 1], [1, 0], [0, 1]], [[2, 2]],
        [["broadcast"]], FREE, lambda x: x.expand(-1, -1, 2, -1)),
    Row(Pad(((1, 0),)), (V,), (3,), "{0,1}", "pad{widths=((1, 0),)}", [[0, 1, 0], [0, 0, 1]],
        [[0, 0], [1, 0], [0, 1]], [1, 1], [["pad"]], FREE, lambda x: F.pad(x, (1, 0))),
    Row(Slice(0, 1, 2), (V,), (1,), "{0,1}", "slice{axis=0, start=1, stop=2}", [[0], [1]],
        [[0, 1]], [0, 1], [["slice"]], FREE, lambda x: x[:, :, 1:2]),
    Row(Concat(0), (V, V), (4,), "{0,1}", "concat{axis=0}", [[1, 0, 1, 0], [0, 1, 0, 1]],
        None, None, [["pad"], ["pad"]], FREE, lambda x: torch.cat([x, x], 2)),
    Row(Reduce("sum", (0,)), (V,), (), "{0,1,2}", "reduce{kind='sum', axes=(0,)}", [1, 1],
        [[1, 1]], [1, 1], [["reduce"]], mac(2), lambda x: x.sum(2)),
    Row(Upsample((2,)), (V,), (4,), "{0,1}", "upsample{factors=(2,)}",
        [[1, 1, 0, 0], [0, 0, 1, 1]], [[1, 0], [1, 0], [0, 1], [0, 1]], [2, 2],
        [["upsample"]], FREE, Flat(lambda x: F.interpolate(x, scale_factor=2)), traced=I),
    Row(Elementwise("add"), (V, V), V, "{0,1,2}", "elementwise{function='add'}",
        [[2, 0], [0, 2]], None, None, [[], []], ac(2), lambda x: x + x),
    Row(Identity(), (V,), V, "{0,1}", "identity", COPY, COPY, [1, 1], [[]], FREE,
        In("snncc.frontends.torch.calls.elementwise")),
    Row(Repeat(), (V,), V, "{0,1}", "repeat", [[1, 0], [1, 0]], None, None, [[]], FREE,
        lambda x: x[None].repeat(3, 1, 1), takes="static"),
    Row(OverTime("sum"), (V,), V, "real", "overtime{kind='sum'}", [1, 1], None, None,
        "SNN112", ac(2), lambda x: x.sum(0), rate="final"),
    Row(Delay(), (V,), V, "{0,1}", "delay", [[0, 0], [1, 0]], None, None, [[]], FREE,
        In("snncc.frontends.torch.loops")),
    Row(Spiking(), (V,), V, "{0,1}", "spiking", COPY, None, None, [[]], Operations(updates=2),
        IF()),
    Row(WholeSpiking(threshold=0.0, strict=True, decay=1.0), (V,), V, "{0,1}",
        "wholespiking{threshold=0.0, strict=True, decay=1.0}", COPY, None, None, "SNN214",
        Operations(updates=2), In("snncc.frontends.lava_dl.neuron")),
    Row(Membrane(leak=0.5, threshold=9.0), (V,), V, "real", "membrane{leak=0.5, threshold=9.0}",
        [[1, 0], [0.5, 1]], None, None, "SNN114", FREE, In("snncc.frontends.snntorch")),
    Row(Normalise("layer", None, None, 0.0, (0,)), (V,), V, "real",
        "normalise{kind='layer', scale=None, shift=None, epsilon=0.0, axes=(0,)}",
        [[1, -1], [-1, 1]], None, None, "SNN106", mac(2), lambda x: F.layer_norm(x, (2,))),
    Row(Softmax(0), (V,), V, "real", "softmax{axis=0}", [[E, 1 - E], [1 - E, E]], None, None,
        "SNN107", FREE, lambda x: x.softmax(2)),
    Row(MatMul(), (M, M), M, "real", "matmul", [[[1, 0], [0, 0]], [[1, 1], [1, 2]]], None, None,
        "SNN103", mac(8), lambda x: x @ x),
    Row(Argmax(0), (V,), (), "real", "argmax{axis=0}", [0, 1], None, None, "SNN108", FREE,
        lambda x: x.argmax(2)),
]  # fmt: skip

APART = {
    ops.Dynamics: "the base of Spiking and Membrane",
    ops.AtStep: "one step of a loop that was written down: reroll ends it",
    ops.AllSteps: "all steps of a loop that was written down: reroll ends it",
    ops.Unread: "a finding in the place of an op: it has no meaning and no text form",
}
"""Classes of ops that are in no Graph which runs."""

WRITTEN_APART = {Constant, Delay, Elementwise, Input, Membrane, OverTime, Repeat, Spiking}
"""Ops that the ONNX writer writes by rules of its own."""

NO_ONNX = {WholeSpiking: "its Network has a form in ONNX, in whole numbers"}
"""Ops that are refused with SNN324."""

ROWS = [pytest.param(row, id=type(row.op).__name__) for row in TABLE]


def graph_of(op: Op, row: Row, kind="spike", head="n") -> Graph:
    """``op`` on the arguments of ``row``, and a neuron behind it."""
    values = SPIKE if kind == "spike" else REAL
    names = tuple(f"x{number}" for number in range(len(row.shapes)))
    nodes = [
        Node(name, Input(kind), (), Signal(shape, row.takes, values))
        for name, shape in zip(names, row.shapes, strict=True)
    ]
    nodes += [
        Node("op", op, names, Signal(row.shape, row.rate)),
        Node("n", Spiking(), ("op",), Signal(row.shape)),
    ]
    return Graph.build(nodes, TENSORS, {"head": head}, time_steps=2)


def given(row: Row) -> dict[str, torch.Tensor]:
    """Two steps of one sample for every argument; the first one alone where it is static."""
    shapes = row.shapes if row.shapes else (row.shape,)
    names = [f"x{number}" for number in range(len(row.shapes))] or ["op"]
    spikes = {
        name: torch.tensor(GIVEN.get(shape, 0), dtype=torch.float64)
        for name, shape in zip(names, shapes, strict=True)
    }
    if row.takes == "static":
        return {name: value[:1] for name, value in spikes.items()}
    return {name: value.unsqueeze(1) if value.dim() else value for name, value in spikes.items()}


def test_every_op_has_one_row():
    classes = [
        cls
        for _, cls in inspect.getmembers(ops, inspect.isclass)
        if issubclass(cls, Op) and cls is not Op
    ]
    entered = [type(row.op) for row in TABLE]
    for cls in classes:
        if cls not in APART:
            assert cls in OPS.values(), f"`{cls.__name__}` is not in OPS of snncc/ir/ops.py"
            assert cls in entered, f"`{cls.__name__}` has no row in TABLE of tests/ir/test_op_table"
    assert len(entered) == len(set(entered)) == len(OPS)
    assert not APART.keys() & set(OPS.values())


@pytest.mark.parametrize("row", ROWS)
def test_shape(row):
    if isinstance(row.op, Input):
        with pytest.raises(TypeError, match="`Input`"):
            output_shape(row.op, row.shapes, TENSORS)
    else:
        assert output_shape(row.op, row.shapes, TENSORS) == row.shape


@pytest.mark.parametrize("row", ROWS)
def test_values(row):
    found = with_values(graph_of(row.op, row)).nodes["op"].signal.values
    assert str(found) == row.values


@pytest.mark.parametrize("row", ROWS)
def test_meaning(row):
    graph = with_values(graph_of(row.op, row, head="op"))
    found = run_graph(graph, given(row), keep=["op"])["op"]
    if row.rate != "static":
        assert found.shape == ((2,) if row.rate == "step" else ()) + (1, *row.shape)
    expected = torch.tensor(row.yields, dtype=torch.float64)
    torch.testing.assert_close(found.double().reshape(expected.shape), expected)
    members = graph.nodes["op"].signal.values.members
    assert members is None or set(found.flatten().tolist()) <= set(members)


@pytest.mark.parametrize("row", ROWS)
def test_matrix(row):
    if row.matrix is None:
        with pytest.raises(TypeError, match=f"`{type(row.op).__name__}` is no linear map"):
            matrix(row.op, row.shapes[0] if row.shapes else row.shape, TENSORS)
        assert not ops.is_linear(row.op) or isinstance(row.op, Norm)
    else:
        assert matrix(row.op, row.shapes[0], TENSORS).toarray().tolist() == row.matrix
        assert ops.is_linear(row.op)


@pytest.mark.parametrize("row", ROWS)
def test_synapses(row):
    if row.synapses is None:
        with pytest.raises(TypeError, match=f"`{type(row.op).__name__}`"):
            fan_out((row.op,), row.shapes[0] if row.shapes else row.shape, TENSORS)
        assert not ops.is_linear(row.op)
    else:
        assert fan_out((row.op,), row.shapes[0], TENSORS).tolist() == row.synapses
        assert ops.is_linear(row.op)


@pytest.mark.parametrize("row", ROWS)
def test_text(row):
    assert print_op(row.op) == row.text
    assert parse_op(row.text) == row.op


@pytest.mark.parametrize("row", ROWS)
def test_work_on_real_values(row):
    graph = graph_of(row.op, row, "analog")
    assert GraphMeter(graph, ["op"])({}, samples=1, steps=1).total == row.work


@pytest.mark.parametrize("row", ROWS)
def test_lowering(row):
    outcome = Lower()(with_values(graph_of(row.op, row)))
    errors = [finding.code for finding in outcome.findings if finding.is_error]
    if isinstance(row.lowered, str):
        assert errors == [row.lowered]
    else:
        assert errors == []
        maps = [[type(op).__name__.lower() for op in p.map] for p in outcome.form.incoming["n"]]
        assert maps == row.lowered


def test_every_op_has_a_form_in_onnx_or_a_reason_for_none():
    assert onnx_operators.OPS.keys() | WRITTEN_APART | NO_ONNX.keys() >= set(OPS.values())


@pytest.mark.parametrize("reset", [{"reset": "zero"}, {"when": "later"}])
@pytest.mark.parametrize("kind", [Spiking, WholeSpiking, Membrane, Neuron, partial(FixedNeuron, 1)])
def test_a_reset_that_no_room_knows_is_refused(kind, reset):
    with pytest.raises(ValueError, match="there is no reset '(zero|later)'; there are "):
        kind(**reset)


def test_the_text_of_a_network_with_such_a_reset_is_refused():
    text = "network n {\n  source %in [2] spike\n  neuron %a [2] {reset='zero'}\n    %in -> %a\n}\n"
    with pytest.raises(TextError, match="line 3: bad fields.*there is no reset 'zero'"):
        parse_network(text)


@pytest.mark.parametrize("row", ROWS)
def test_front_end(row):
    name = type(row.op).__name__
    match row.made_by:
        case Never():
            root = Path(snncc.__file__).parent / "frontends"
            assert not [path for path in root.rglob("*.py") if name in made_in(path)]
            assert row.made_by.reason
        case In():
            assert name in made_in(Path(import_module(row.made_by.module).__file__))
        case function:
            shape = row.traced or (*row.shapes, V)[0]
            lead = (2,) if row.takes == "static" else (3, 2)
            x = torch.zeros(*lead, *shape, dtype=torch.float64)
            graph = trace(
                Calls(function).double().eval(), x, input="spike",
                layout="N" if row.takes == "static" else "TN",
            )  # fmt: skip
            assert graph.of_type(type(row.op)), [node.op for node in graph.nodes.values()]


def made_in(path: Path) -> set[str]:
    """The names that are called in a file."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    calls = (node.func for node in nodes if isinstance(node, ast.Call))
    return {call.id for call in calls if isinstance(call, ast.Name)}


# -- an op that nobody entered -------------------------------------------------------------------


@dataclass(frozen=True)
class Roll(Op):
    """Shifts an axis around; known to no room."""

    by: int = 1


UNKNOWN = Row(Roll(), (V,), V, "", "", None, None, None, "", FREE, Never("a test"))


@pytest.mark.parametrize(
    "room",
    [
        lambda: output_shape(Roll(), (V,), {}),
        lambda: with_values(graph_of(Roll(), UNKNOWN)),
        lambda: matrix(Roll(), V, {}),
        lambda: fan_out((Roll(),), V, {}),
        lambda: fan_out((Dense(W), Roll(), Dense(W)), V, TENSORS),
        lambda: print_op(Roll()),
        lambda: apply(Roll(), [torch.zeros(1, 2)], TensorStore({}, torch.float64)),
        lambda: run_graph(graph_of(Roll(), UNKNOWN), given(UNKNOWN), keep=["op"]),
        lambda: GraphMeter(graph_of(Roll(), UNKNOWN, "analog"), ["op"])({}, 1, 1),
        lambda: GraphMeter(graph_of(Roll(), UNKNOWN), ["op"])({}, 1, 1),
        lambda: Lower()(graph_of(Roll(), UNKNOWN)),
    ],
    ids=["shape", "values", "matrix", "synapses", "synapses of a chain", "text", "meaning",
         "meaning in a graph", "work on reals", "work on spikes", "lowering"],
)  # fmt: skip
def test_an_unknown_op_raises(room):
    with pytest.raises(TypeError, match="`Roll`"):
        room()


def test_a_linear_op_without_a_rule_for_its_synapses_raises(monkeypatch):
    """It would count as a copy: 1 2 3 3 2 1 targets where 2 3 3 2 1 1 are right."""
    monkeypatch.setattr(synapses, "LINEAR", (*ops.LINEAR, Roll))
    monkeypatch.setitem(shapes._RULES, Roll, lambda op, arguments, tensors: arguments[0])
    with pytest.raises(TypeError, match="`Roll`"):
        fan_out((Roll(), Conv(Ref("c"), None, (1,), (1,), (1,))), (1, 6), {"c": np.ones((1, 1, 3))})
