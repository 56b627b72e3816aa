"""Whole test sets: the numbers of a run do not depend on how its samples come and who runs them."""

from __future__ import annotations

import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import snncc
from snncc.arithmetic import Arithmetic
from snncc.backends.reference import fused
from snncc.frontends.data import open_recordings
from snncc.ir.interpreter import run_graph
from snncc.ir.work import GraphMeter, NetworkMeter
from snncc.simulation import in_one_go, simulate

STEPS, SAMPLES = 6, 21


def network(seed=0, gate="or"):
    """A small dual-stream network whose sums are not exact."""
    torch.manual_seed(seed)
    module = snncc.nn.DualStreamResNet(
        in_channels=2, classes=4, widths=[4, 6], blocks=[1, 1], gate=gate
    ).eval()
    for part in module.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            size = part.num_features
            part.running_mean.copy_(torch.randn(size) * 0.2)
            part.running_var.copy_(torch.rand(size) + 0.5)
            part.weight.data = torch.rand(size) * 2
            part.bias.data = torch.rand(size) * 0.6
    return module


def events(samples=SAMPLES, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(STEPS, samples, 2, 8, 8, generator=generator) < 0.4).float()


@pytest.fixture(scope="module")
def floats():
    return snncc.compile(network(), events(2), "loihi1", input="spike")


@pytest.fixture(scope="module")
def whole():
    return snncc.compile(network(), events(2), "loihi1", input="spike", weight_bits=6)


def numbers(simulation):
    """All that must not change, as values that compare bit for bit."""
    result, timing, rounding = simulation.result, simulation.timing, simulation.rounding
    return {
        "logits": result.logits.numpy().tobytes(),
        "spikes": {name: s.double().numpy().tobytes() for name, s in result.spikes.items()},
        "outputs": None if result.outputs is None else result.outputs.numpy().tobytes(),
        "work": (simulation.before, simulation.after, simulation.host, dict(simulation.sent)),
        "timing": None if timing is None else timing.as_dict(),
        "flips": rounding
        and (rounding.compared, rounding.flips, rounding.logits.numpy().tobytes()),
        "arithmetic": simulation.arithmetic,
    }


@pytest.fixture
def small_tiles(monkeypatch):
    monkeypatch.setattr(fused, "TILE", 4 * 4 * 64 * STEPS * 4)


@pytest.mark.slow
@pytest.mark.parametrize("level", [None, "count", "cycle"])
@pytest.mark.parametrize("which", ["floats", "whole"])
def test_chunks_and_threads_change_no_number(request, small_tiles, which, level):
    program = replace(request.getfixturevalue(which))  # simulators of its own
    x = events(seed=3)
    whole = numbers(simulate(program, x, level=level, keep=None, threads=1))

    @settings(max_examples=6, deadline=None)
    @given(st.sampled_from([1, 1 << 18, 1 << 20, 1 << 30]), st.sampled_from([1, 2]))
    def check(memory, threads):
        found = simulate(program, x, level=level, keep=None, memory=memory, threads=threads)
        assert numbers(found) == whole

    check()


@pytest.mark.slow
@pytest.mark.parametrize("gate", ["and", "or", "xor", "iand"])
@pytest.mark.parametrize("keep_aap", [False, True])
def test_the_work_is_that_of_every_spike(gate, keep_aap):
    program = snncc.compile(network(1, gate), events(2), input="spike", keep_aap=keep_aap)
    x = events(9, seed=2)
    found = simulate(program, x, dtype=torch.float64, memory=1)
    meter = GraphMeter(program.graph)
    values = run_graph(program.graph, program.arrange(x), keep=meter.reads)
    tallies = {
        name: values[name].sum((0, 1) if program.graph.nodes[name].signal.rate == "step" else 0)
        for name in meter.reads
    }
    assert found.before == meter(tallies, 9, STEPS)
    spikes = program.delivered(program.run(x).spikes)
    sent = {name: s.sum((0, 1)) for name, s in spikes.items()}
    assert found.after == NetworkMeter(program.scheduled or program.network)(sent, 9, STEPS)
    assert found.sent == {name: int(s.sum()) for name, s in sent.items()}
    neurons = {place.name for place in program.network.populations}
    assert found.spikes == sum(int(s.sum()) for name, s in spikes.items() if name in neurons)
    assert bool(found.host.parts) == keep_aap


def test_the_graph_is_not_run_again_where_the_spikes_say_all(floats, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("the Graph ran")

    monkeypatch.setattr("snncc.program.program.run_graph", refuse)
    simulate(floats, events(3), dtype=torch.float64)


def test_only_what_is_asked_for_is_kept(floats):
    plain = simulate(floats, events(3)).result
    assert plain.outputs is None
    assert not plain.spikes
    name = floats.network.populations[0].name
    (readout,) = floats.network.readouts
    some = simulate(floats, events(3), keep=(name, readout.name)).result
    assert list(some.spikes) == [name]
    assert some.outputs.shape == (STEPS, 3, 4)
    assert torch.equal(some.spikes[name].double(), floats.run(events(3)).spikes[name])


def test_spikes_are_shown_chunk_by_chunk(floats, small_tiles):
    program, chunks = replace(floats), []
    simulate(program, events(), memory=1, on_spikes=chunks.append, dtype=torch.float64)
    assert len(chunks) > 2
    spikes = program.delivered(program.run(events()).spikes)
    for name, expected in spikes.items():
        assert torch.equal(torch.cat([c[name] for c in chunks], 1).double(), expected), name


def test_recordings_on_disk_are_as_those_in_memory(floats, small_tiles, tmp_path):
    program, x = replace(floats), events(seed=4)
    np.savez(tmp_path / "x.npz", inputs=x.numpy().astype(np.uint8))
    expected = numbers(simulate(program, x, keep=None))
    with open_recordings(tmp_path / "x.npz", {"TN": (STEPS, 1, 2, 8, 8)}, input="spike") as data:
        assert numbers(simulate(program, data, keep=None, memory=1)) == expected


def test_an_interrupted_run_has_the_numbers_so_far(floats, small_tiles):
    program, x, done = replace(floats), events(seed=5), []

    def interrupt(count):
        done.append(count)
        if len(done) == 2:
            raise KeyboardInterrupt

    options = {"memory": 1, "level": "count", "dtype": torch.float64}
    found = simulate(program, x, partial=True, on_samples=interrupt, **options)
    assert found.partial
    assert found.samples == sum(done) == found.timing.samples < SAMPLES
    whole = simulate(program, x[:, : found.samples], **options)
    assert not whole.partial
    assert numbers(found) == numbers(whole)
    done.clear()
    with pytest.raises(KeyboardInterrupt):
        simulate(program, x, on_samples=interrupt, **options)


def test_an_interrupt_before_the_first_number_goes_on(floats):
    def interrupt(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate(floats, events(3), partial=True, on_spikes=interrupt)


def test_an_interrupt_waits_until_all_is_added():
    """Where tests run in the background, the shell has them ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    done = []

    def add():
        with in_one_go():
            signal.raise_signal(signal.SIGINT)
            done.append(True)

    try:
        with pytest.raises(KeyboardInterrupt):
            add()
    finally:
        signal.signal(signal.SIGINT, before)
    assert done


def test_the_confusion_of_labels_and_classes(floats):
    found = simulate(floats, events(9))
    said = found.result.logits.argmax(-1)
    labels = (said + 1) % 4
    table = found.confusion(labels)
    assert table.shape == (4, 4)
    assert table.sum() == 9
    assert all(table[label, one] > 0 for label, one in zip(labels, said, strict=True))
    assert not table.diagonal().any()
    with pytest.raises(ValueError, match="labels for"):
        found.confusion(labels[1:])


def test_the_arithmetic_is_said(floats):
    assert simulate(floats, events(3)).arithmetic == Arithmetic(torch.float32, "alike", 3)
    asked = simulate(floats, events(3), dtype=torch.float64).arithmetic
    assert asked == Arithmetic(torch.float64, "asked")
    assert str(asked) == "float64"


class Sums(torch.nn.Module):
    """Neurons of ``layers.IF`` behind one weight of all inputs."""

    def __init__(self, weight, threshold):
        super().__init__()
        self.layer = torch.nn.Linear(8, 1, bias=False)
        self.layer.weight.data[:] = weight
        self.neuron = snncc.nn.IF(threshold=threshold)

    def forward(self, x):
        return self.neuron(self.layer(x)).mean(0)


def test_exact_sums_are_in_float32():
    program = snncc.compile(Sums(0.25, 1.0), torch.ones(4, 2, 8), input="spike")
    said = simulate(program, torch.ones(4, 2, 8)).arithmetic
    assert said == Arithmetic(torch.float32, "exact")
    assert str(said) == "float32, in which every sum is exact"


def test_where_float32_has_other_spikes_it_is_not_taken():
    """A threshold just above 1 is 1 in float32."""
    module = Sums(torch.tensor([1.0] + [0.0] * 7), 1 + 5e-10)
    program = snncc.compile(module, torch.ones(4, 2, 8), input="spike")
    exact = program.run(torch.ones(4, 20, 8)).spikes["neuron"]
    fast = program.run(torch.ones(4, 20, 8), dtype=torch.float32).spikes["neuron"]
    found = simulate(program, torch.ones(4, 20, 8))
    assert not torch.equal(exact, fast.double())
    assert found.arithmetic == Arithmetic(torch.float64, "differs", 16)
    assert found.sent["neuron"] == int(exact.sum())


class Static(torch.nn.Module):
    """An image of spikes or counts, the same at every step, through a layer before or after."""

    def __init__(self, before, pool):
        super().__init__()
        self.conv, self.before = torch.nn.Conv2d(1, 3, 3, bias=False), before
        self.neuron, self.pool = snncc.nn.IF(), pool

    def forward(self, x):
        x = self.pool(x)
        x = self.conv(x).unsqueeze(0).repeat(5, 1, 1, 1, 1) if self.before else self._later(x)
        return self.neuron(x).flatten(2)

    def _later(self, x):
        return self.conv(x.unsqueeze(0).repeat(5, 1, 1, 1, 1).flatten(0, 1)).unflatten(0, (5, -1))


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("kind", ["spike", "count"])
def test_a_static_image_is_counted_once_where_it_is_there_once(before, kind):
    torch.manual_seed(1)
    x = torch.randint(0, 2 if kind == "spike" else 5, (17, 1, 8, 8)).float()
    pool = torch.nn.MaxPool2d(2) if kind == "spike" else torch.nn.Identity()
    program = snncc.compile(Static(before, pool).eval(), x[:2], input=kind, layout="N")
    found, graph = simulate(program, x), program.graph
    meter = GraphMeter(graph)
    values = run_graph(graph, program.arrange(x), keep=meter.reads)
    tallies = {
        name: values[name].sum((0, 1) if graph.nodes[name].signal.rate == "step" else 0)
        for name in meter.reads
    }
    assert found.before == meter(tallies, 17, 5)


def test_nothing_but_answers_is_held_for_each_sample(floats, small_tiles, monkeypatch):
    held = []
    monkeypatch.setattr(
        snncc.Program, "gather", lambda self, parts: held.extend(parts) or parts[0][1]
    )
    simulate(replace(floats), events(seed=6), memory=1)
    assert len(held) > 2
    for run, result in held:
        assert not any([run.sent, run.spikes, run.outputs, result.spikes])
        assert result.outputs is None


def test_with_the_auxiliary_path_kept_chunks_change_no_number(small_tiles):
    torch.manual_seed(3)
    program = snncc.compile(network(3), events(2), input="spike", keep_aap=True)
    x = events(seed=7)
    runs = [simulate(program, x, memory=m, threads=t) for m, t in ((1, 1), (1 << 30, 2))]
    one, two = (numbers(each) for each in runs)
    assert one == two
    for name, logits in runs[0].result.heads.items():
        assert torch.equal(logits, runs[1].result.heads[name])


class Large(torch.nn.Module):
    """Every step's sum is exact in float32, the sum of all is not."""

    def __init__(self):
        super().__init__()
        self.neuron, self.out = snncc.nn.IF(), torch.nn.Linear(2, 2, bias=False)
        self.out.weight.data = torch.tensor([[2.0**23 - 4, 4.0], [2.0**23 - 4, 5.0]])

    def forward(self, x):
        return self.out(self.neuron(x)).sum(0)


def test_exact_sums_of_steps_are_added_up_exactly():
    program = snncc.compile(Large(), torch.ones(3, 2, 2), input="spike")
    x = torch.ones(3, 1, 2)
    x[1:, :, 1] = 0
    found = simulate(program, x)
    assert found.arithmetic.because == "exact"
    assert torch.equal(found.result.logits, program.run(x).logits)


@pytest.mark.parametrize(
    "wrong", [{"dtype": torch.int32}, {"dtype": torch.float16}, {"keep": ["nothing"]}]
)
def test_an_option_that_is_none_is_a_sentence(floats, wrong):
    with pytest.raises(snncc.SnnccError, match="SNN316"):
        simulate(floats, events(2), **wrong)


@pytest.mark.parametrize(
    "inputs", ["abc", np.ones((2, 3), object), np.ones((6, 1, 2, 8, 8), np.complex128)]
)
def test_inputs_that_are_no_numbers_are_a_sentence(floats, inputs):
    for run in (floats.run, lambda x: simulate(floats, x)):
        with pytest.raises(snncc.SnnccError, match="SNN312"):
            run(inputs)
