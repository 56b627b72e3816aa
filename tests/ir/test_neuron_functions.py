"""Every neuron as an ONNX function: onnxruntime and the interpreter of Graphs, spike for spike."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from snncc.ir.interpreter import TensorStore, fire_as_written
from snncc.ir.neuron_functions import (
    DOMAIN,
    IR_VERSION,
    OPSET,
    VERSION,
    Kind,
    fixed_kinds,
    kinds,
)
from snncc.ir.ops import Dynamics, Membrane, Spiking

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

NUMBERS = {
    "threshold": 1.0, "decay": 0.75, "leak": 0.25, "v_reset": 0.25, "keep": 0.5,
    "current_decay": 0.5, "initial": 0.25, "current_initial": 0.125,
}  # fmt: skip


def op_of(kind: Kind) -> Dynamics:
    numbers = {name: NUMBERS[name] for name in kind.parameters}
    if kind.charge == "gate":
        return Spiking(decay=0.0, reset="none", strict=kind.strict, **numbers)
    known = {"reset": kind.reset, "when": kind.when, "strict": kind.strict}
    known |= {"decay_input": kind.charge == "leak-input", **numbers}
    if kind.shows == "spikes":
        return Spiking(**known)
    return Membrane(**known, before=kind.shows == "charge")


def model_of(kind: Kind):
    helper = onnx.helper
    tensors = [
        onnx.numpy_helper.from_array(np.array(NUMBERS[name], np.float32), name)
        for name in kind.parameters
    ]
    shape = ["T", "N", 4]
    graph = helper.make_graph(
        [helper.make_node(kind.name, ["X", *kind.parameters], ["Y"], domain=DOMAIN)], "one",
        [helper.make_tensor_value_info("X", onnx.TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("Y", onnx.TensorProto.FLOAT, shape)], tensors,
    )  # fmt: skip
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, VERSION)]
    return helper.make_model(
        graph, functions=kind.functions, opset_imports=opsets, ir_version=IR_VERSION
    )


def check(kind: Kind, seed: int) -> int:
    """How many values were compared; all are equal. Currents land on the threshold on purpose."""
    op, model = op_of(kind), model_of(kind)
    assert Kind.of(op) == kind
    onnx.checker.check_model(model, full_check=True)
    onnx.shape_inference.infer_shapes(model, strict_mode=True)
    x = (np.random.default_rng(seed).integers(-8, 16, (9, 3, 4)) / 8).astype(np.float32)
    (there,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"X": x})
    here = fire_as_written(op, torch.from_numpy(x), TensorStore({}, torch.float32)).numpy()
    assert np.array_equal(here, there), kind.name
    return here.size


ALL = sorted(kinds())


@pytest.mark.parametrize("name", ALL[::24])
def test_some_kinds_are_the_same_in_onnxruntime(name):
    assert check(kinds()[name], 0)


@pytest.mark.slow
def test_all_kinds_are_the_same_in_onnxruntime():
    assert len(ALL) > 300
    assert sum(check(kinds()[name], seed) for seed, name in enumerate(ALL)) == 108 * len(ALL)


def test_each_kind_has_its_own_name_and_says_what_it_does():
    assert len({kind.about + kind.name for kind in kinds().values()}) == len(kinds())
    for kind in [*kinds().values(), *fixed_kinds().values()]:
        assert kinds().get(kind.name) in (None, kind)
        for function in kind.functions:
            assert function.domain == DOMAIN
            assert "s = " in function.doc_string
