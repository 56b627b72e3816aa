"""Networks as ONNX files: stock onnxruntime computes the spikes of the program."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import snncc
from snncc.backends.onnx import export
from snncc.backends.onnx.networks import as_graph
from snncc.backends.onnx.writer import as_model
from snncc.diagnostics import SnnccError
from snncc.frontends.checkpoints import open_model
from snncc.frontends.onnx.module import FileModule
from snncc.frontends.onnx.reading import read_bytes
from snncc.ir.interpreter import run_graph, run_network
from snncc.ir.text import parse_graph, parse_network

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

ROOT = Path(__file__).parents[3]


def run(model, inputs, shown):
    """The values ``shown`` and the outputs by name; every value has the name of its node."""
    known = {each.name for each in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=n) for n in shown if n not in known)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    feed = {i.name: inputs[i.name].numpy().astype(np.float32) for i in session.get_inputs()}
    names = [each.name for each in session.get_outputs()]
    return dict(zip(names, session.run(None, feed), strict=True))


def differing(program, x) -> tuple[int, int]:
    """Spikes that differ between onnxruntime and the program, and how many were compared."""
    names = [place.name for place in program.network.populations]
    there = run(as_model(as_graph(program.network)), program.arrange(x), names)
    here = program.run(x) if program.network.is_fixed else program.run(x, dtype=torch.float32)
    pairs = [(there[name], here.spikes[name].numpy()) for name in names]
    head = next(iter(there.values()))
    assert np.allclose(head, here.logits.numpy(), atol=1e-4 * max(1, np.abs(head).max()))
    return sum(int((a != b).sum()) for a, b in pairs), sum(b.size for _, b in pairs)


@pytest.fixture(scope="module")
def events():
    return np.load(ROOT / "examples" / "dst" / "test.npz")["inputs"][:, :4]


@pytest.mark.slow
@pytest.mark.parametrize("bits", [None, 8])
def test_the_example_of_events_has_the_same_spikes_in_onnxruntime(events, bits):
    found = open_model(str(ROOT / "examples" / "dst" / "nmnist.pt"))
    program = snncc.compile(
        found.module, events, layout="TN", input="spike", weight_bits=bits, verify=False
    )
    wrong, compared = differing(program, events)
    assert compared > 1_000_000
    assert wrong == 0


@pytest.mark.slow
@pytest.mark.parametrize("bits", [None, 8])
def test_the_example_of_images_has_the_same_spikes_in_onnxruntime(bits):
    folder = ROOT / "examples" / "mnist"
    found = open_model("examples.mnist.network:DigitNet", weights=folder / "mnist.pt")
    images = np.load(folder / "test.npz")["inputs"][:8]
    program = snncc.compile(found.module, images, layout="N", weight_bits=bits, verify=False)
    wrong, compared = differing(program, images)
    assert compared > 500_000
    assert wrong == 0


def generated(seed: int, bits: int | None) -> tuple[int, int]:
    from random_networks import draw

    sample = draw(seed, 8)
    program = snncc.compile(
        sample.module, sample.example, layout=sample.layout, input=sample.kind, weight_bits=bits,
        verify=False,
    )  # fmt: skip
    return differing(program, sample.inputs)


def test_generated_networks_have_the_same_spikes_in_onnxruntime():
    for seed in range(3):
        wrong, compared = generated(seed, None)
        assert wrong == 0
        assert compared


def test_a_transposed_conv_with_an_output_padding_as_wide_as_its_stride():
    wrong, compared = generated(54, None)  # onnxruntime refuses such a padding
    assert wrong == 0
    assert compared


def test_in_the_recorded_networks_no_spike_differs():
    record = ROOT / "benchmarks" / "results" / "onnx_files.json"
    result = json.loads(record.read_text(encoding="utf-8"))["onnxruntime"]
    assert not result["failures"]
    assert result["networks"] >= 100
    assert min(result["float32: spikes"], result["whole numbers: spikes"]) > 80_000


@pytest.mark.slow
@pytest.mark.parametrize("bits", [None, 8])
def test_more_generated_networks_have_the_same_spikes_in_onnxruntime(bits):
    pairs = [generated(seed, bits) for seed in range(3, 15)]
    assert sum(wrong for wrong, _ in pairs) == 0


LOOP = """
graph loop steps=6 {
  %input = input{kind='spike'} : step [3] {0,1}
  %before = delay %out : step [3] {0,1}
  %back = dense{weight=@w} %before : step [3] real
  %current = elementwise{function='add'} %input %back : step [3] real
  %out = spiking{decay=0.5, threshold=1.0, reset='soft'} %current : step [3] {0,1}
  %sum = overtime{kind='sum'} %out : final [3] real
  head 0 = %sum
  tensor @w float64 [3,3] = [[0.0, 0.5, 0.25], [0.75, 0.0, -0.5], [0.5, 0.5, 0.0]]
}
"""


def test_a_loop_is_one_scan_with_the_same_spikes():
    graph = parse_graph(LOOP)
    x = {"input": torch.from_numpy(np.random.default_rng(0).integers(0, 2, (6, 5, 3)) * 1.0)}
    here = run_graph(graph, x, keep=["out"], dtype=torch.float32)
    model = as_model(graph)
    assert [node.op_type for node in model.graph.node].count("Scan") == 1
    there = run(model, x, ["out"])
    assert np.array_equal(there["out"], here["out"].numpy())
    assert here["out"].any()


def test_a_file_says_what_it_is(tmp_path):
    from random_networks import draw

    sample = draw(0, 4)
    program = snncc.compile(
        sample.module, sample.example, layout=sample.layout, input=sample.kind, verify=False
    )
    path = tmp_path / "net.onnx"
    written = export(program.network, path, about={"org.snncc.target": "loihi"})
    assert written.bytes == path.stat().st_size
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    known = {each.key: each.value for each in model.metadata_props}
    assert known["org.snncc.target"] == "loihi"
    assert known["org.snncc.form"] == "network"
    assert len(known["org.snncc.sha256"]) == 64
    names = {place.name for place in program.network.populations}
    assert names <= {out for node in model.graph.node for out in node.output}


def test_whole_numbers_are_written_and_not_read():
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(4, 6), snncc.nn.LIF(), torch.nn.Linear(6, 3)).eval()
    x = (torch.rand(5, 8, 4) < 0.5).float()
    program = snncc.compile(net, x, input="spike", weight_bits=8, verify=False)
    wrong, compared = differing(program, x)
    assert (wrong, compared) == (0, 5 * 8 * 6)
    for about, said in (
        ({}, "compile the trained model with the --weight-bits"),
        ({"org.snncc.source.name": "net.pt"}, "compile `net.pt` with the --weight-bits"),
    ):
        model = as_model(as_graph(program.network), about=about)
        module = FileModule(read_bytes(model.SerializeToString(), "net.onnx"))
        with pytest.raises(SnnccError, match="SNN301.*whole numbers") as caught:
            module(x)
        (finding,) = caught.value.findings
        assert said in finding.help


def test_what_float32_cannot_hold_is_named():
    graph = parse_graph(LOOP.replace("decay=0.5", "decay=0.9"))
    rounded: set[str] = set()
    as_model(graph, rounded=rounded)
    assert rounded == {"number:0.9"}
    rounded.clear()
    as_model(graph, dtype=np.float64, rounded=rounded)
    assert not rounded


def test_a_matrix_that_cannot_be_written_out_is_refused():
    text = """
graph big steps=3 {
  %input = input{kind='spike'} : step [9000] {0,1}
  %map = sparse{data=@d, indices=@i, indptr=@p, shape=(9000,)} %input : step [9000] real
  %out = spiking %map : step [9000] {0,1}
  head 0 = %out
  tensor @d float64 [1] = [1.0]
  tensor @i int64 [1] = [0]
  tensor @p int64 [9001]
}
"""
    graph = parse_graph(text, {"p": np.minimum(np.arange(9001), 1)})
    with pytest.raises(SnnccError, match="SNN324"):
        as_model(graph)


NETWORK = """
network looped steps=6 {
  source %input [3] spike
  neuron %one [3] {decay=0.5}
    %input -> %one
    %two -> %one > dense{weight=@w} after 2
  neuron %two [3] {threshold=0.75, reset='soft'}
    %one -> %two > dense{weight=@v}
  readout %out [3] {over_time='sum'}
    %two -> %out
  tensor @w float64 [3,3] = [[0.0, 0.5, 0.25], [0.75, 0.0, -0.5], [0.5, 0.5, 0.0]]
  tensor @v float64 [3,3] = [[1.0, 0.5, 0.0], [0.0, 1.0, -0.5], [0.25, 0.0, 1.0]]
}
"""


def test_a_network_with_a_late_loop_has_the_same_spikes():
    network = parse_network(NETWORK)
    x = {"input": torch.from_numpy(np.random.default_rng(0).integers(0, 2, (6, 5, 3)) * 1.0)}
    here = run_network(network, x, dtype=torch.float32)
    there = run(as_model(as_graph(network)), x, ["one", "two"])
    for name in ("one", "two"):
        assert np.array_equal(there[name], here.spikes[name].numpy())
        assert there[name].any()


def test_an_input_that_is_a_current_as_it_is():
    """The encoder of such an input has no op of its own, and the name of the input."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(snncc.nn.LIF(), torch.nn.Linear(4, 3), snncc.nn.IF()).eval()
    x = torch.randn(5, 6, 4)
    program = snncc.compile(net, x, verify=False)
    wrong, compared = differing(program, x)
    assert (wrong, compared) == (0, 5 * 6 * 7)
