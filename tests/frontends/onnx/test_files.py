"""Files of torch.onnx.export: each compiles, and has the outputs of its PyTorch module."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import snncc
from snncc.frontends.checkpoints import open_model
from snncc.verification.elsewhere import RunsElsewhere

pytest.importorskip("onnx")

FILES = Path(__file__).with_name("files")
NAMES = sorted(path.stem for path in FILES.glob("*.onnx"))
QUICK = ("hand_ge_leg", "scan_dyn")
STEP = "step_dyn"


def stored(name: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Inputs and first outputs."""
    arrays = np.load(FILES / f"{name}.npz")
    first = [next(n for n in arrays.files if n.startswith(f"{way}0_")) for way in ("in", "out")]
    ends = [n.partition("_")[2] for n in first]
    return [(arrays[f"in{k}_{ends[0]}"], arrays[f"out{k}_{ends[1]}"]) for k in range(4)]


def outputs_are_those_of_the_module(name: str) -> None:
    found = open_model(str(FILES / f"{name}.onnx"))
    pairs = stored(name)
    program = snncc.compile(found.module, pairs[0][0], head=0)
    assert program.network.populations
    for x, wanted in pairs:
        result = program.run(x)
        stepwise = tuple(result.outputs.shape) == wanted.shape
        values = (result.outputs if stepwise else result.logits).numpy()
        if set(np.unique(wanted)) <= {0.0, 1.0}:
            assert np.array_equal(values, wanted)
        assert np.abs(values - wanted).max() < 1e-5


@pytest.mark.parametrize("name", QUICK)
def test_a_file_compiles_and_has_the_outputs_of_its_module(name):
    outputs_are_those_of_the_module(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({*NAMES} - {*QUICK, STEP}))
def test_every_file_compiles_and_has_the_outputs_of_its_module(name):
    outputs_are_those_of_the_module(name)


def test_a_file_of_one_step_goes_through_its_states():
    """The file's own outputs for given states, and the program against the file run T times."""
    found = open_model(str(FILES / f"{STEP}.onnx"))
    arrays = np.load(FILES / f"{STEP}.npz")
    for k in range(4):
        found.module.kept = [torch.from_numpy(arrays[f"in{k}_{v}"]) for v in ("v1", "v2")]
        outputs = found.module(torch.from_numpy(arrays[f"in{k}_x"]))
        assert np.array_equal(outputs["s"].numpy(), arrays[f"out{k}_s"])
        for state, v in zip(found.module.kept, ("v1_out", "v2_out"), strict=True):
            assert np.allclose(state.numpy(), arrays[f"out{k}_{v}"], atol=1e-6)
    found.module.reset()
    x = arrays["in0_x"]
    program = snncc.compile(found.module, x, layout="N", time_steps=8)
    found.module.reset()
    assert isinstance(found.module, RunsElsewhere)
    there = found.module.elsewhere(torch.from_numpy(x), 8)
    if there is None:
        pytest.skip("onnxruntime is not installed")
    assert np.array_equal(program.run(x).outputs.numpy(), there["s"].numpy())


def test_the_number_of_samples_is_free_and_the_number_of_steps_is_not():
    found = open_model(str(FILES / "hand_ge_leg.onnx"))
    (x, wanted), *_ = stored("hand_ge_leg")
    more = torch.from_numpy(np.concatenate([x, x[:, :2]], 1))
    (output,) = found.module(more).values()
    assert np.array_equal(output[:, :3].numpy(), wanted)
    assert np.array_equal(output[:, 3:].numpy(), wanted[:, :2])
    with pytest.raises(snncc.SnnccError, match="SNN306"):
        found.module(torch.zeros(7, 2, 12))


def test_a_node_without_a_meaning_is_named():
    onnx = pytest.importorskip("onnx")
    from snncc.frontends.onnx.module import FileModule
    from snncc.frontends.onnx.reading import read_bytes

    model = onnx.load(FILES / "scripted_leg.onnx")
    node = onnx.helper.make_node("NonZero", [model.graph.input[0].name], ["gone"], name="/l1/Look")
    model.graph.node.append(node)
    module = FileModule(read_bytes(model.SerializeToString(), "net.onnx"))
    report = snncc.check(module, torch.zeros(8, 3, 12))
    (finding,) = [f for f in report.findings if f.is_error]
    assert finding.code == "SNN301"
    assert "`/l1/Look`, a NonZero" in finding.message
    assert finding.location.module == "l1.Look"


def test_names_that_stand_in_the_way():
    """Constants named as attributes of a module, or as the parts that hold others."""
    onnx = pytest.importorskip("onnx")
    from snncc.frontends.onnx.module import FileModule
    from snncc.frontends.onnx.reading import read_bytes

    helper, numbers = onnx.helper, onnx.numpy_helper
    names = ["a", "a.b", "a.b.c", "sha256", "_left", "kept", "forward", "file", "training", "1/2"]
    nodes, last = [], "x"
    for place, name in enumerate(names):
        nodes.append(helper.make_node("Add", [last, name], [f"y{place}"], name=f"/{name}/Add"))
        last = f"y{place}"
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "net", [info("x", 1, [3, 2])], [info(last, 1, [3, 2])],
        [numbers.from_array(np.full(2, 2.0**k, np.float32), n) for k, n in enumerate(names)],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 18)]
    data = helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()
    module = FileModule(read_bytes(data, "net.onnx"))
    (y,) = module(torch.zeros(3, 2)).values()
    assert torch.equal(y, torch.full((3, 2), 2.0 ** len(names) - 1))
