"""Files of Lava-DL: every spike of every layer is the stored one."""

from __future__ import annotations

import pytest
import torch
from net_references import PERIOD, pixels, spikes, unpacked

import snncc
from snncc.frontends.checkpoints import Said, open_model
from snncc.ir.interpreter.fixed import fire, gather
from snncc.ir.interpreter.fixed_cell import WholeStore
from snncc.ir.network import Population
from snncc.ir.registers import FixedNeuron
from snncc.program import Program

SPIKES = Said(input="spike")


def differing(program: Program, x: torch.Tensor, stored: dict[str, torch.Tensor]) -> list[int]:
    run = program.run(x)
    return [int((run.spikes[name][:, 0] != each).sum()) for name, each in stored.items()]


def test_tiny_from_the_spikes_of_its_input_layer(tmp_path):
    opened = open_model(unpacked("tiny", tmp_path), said=SPIKES)
    assert opened.features == (3, 16, 16)
    assert [note.code for note in opened.notes] == ["SNN515"]
    stored = spikes("tiny")
    assert not any(each[0].any() for each in stored.values())
    later = {name: each[1:] for name, each in stored.items() if name != "input0"}
    x = stored["input0"][1:, None]
    program = snncc.compile(opened.module, x, input="spike", layout="TN")
    assert differing(program, x, later) == [0, 0]
    assert sum(each.numel() for each in later.values()) == (13_824 + 576) * 15 // 16
    assert all(0.1 < each.mean() < 0.2 for each in later.values())
    assert snncc.compare(opened.module, program, x).equal


def test_tiny_from_pixels(tmp_path):
    opened = open_model(unpacked("tiny", tmp_path))
    image = pixels("tiny", 36, 34)
    x = image.expand(15, 1, *image.shape).contiguous()
    program = snncc.compile(opened.module, x, layout="TN")
    later = {name: each[1:] for name, each in spikes("tiny").items()}
    assert differing(program, x, later) == [0, 0, 0]


def test_numbers_are_taken_as_they_are(tmp_path):
    opened = open_model(unpacked("tiny", tmp_path), said=SPIKES)
    x = spikes("tiny")["input0"][1:, None]
    program = snncc.compile(opened.module, x, input="spike", layout="TN", verify=False)
    assert program.network.is_fixed
    assert not program.is_rounded
    for place in program.network.populations:
        assert isinstance(place.neuron, FixedNeuron)
        assert (place.neuron.vth, place.neuron.dv, place.neuron.du) == (25, 1024, 4095)
        assert place.neuron.is_stock
        mine = getattr(opened.module, f"{place.name}_synapses").weight0
        (wire,) = program.network.incoming[place.name]
        assert (torch.from_numpy(program.network.tensors[wire.map[-1].weight]) == mine).all()
    assert "quantize" not in " ".join(program.about.passes)


@pytest.fixture(scope="module")
def pilotnet(tmp_path_factory):
    opened = open_model(unpacked("pilotnet_lif", tmp_path_factory.mktemp("net")), said=SPIKES)
    x = spikes("pilotnet_lif")["input0"][:PERIOD, None]
    return opened.module, snncc.compile(opened.module, x, input="spike", layout="TN", verify=False)


@pytest.mark.slow
@pytest.mark.parametrize("sample", range(2))
def test_pilotnet_layer_by_layer(pilotnet, sample):
    """A whole sample, and as much of a second one as 24 steps hold."""
    _, program = pilotnet
    stored = spikes("pilotnet_lif")
    x = torch.zeros(PERIOD, 1, *stored["input0"].shape[1:]).double()
    part = stored["input0"][sample * PERIOD :][:PERIOD, None]
    x[: len(part)] = part
    run = program.run(x)
    compared = 0
    for number, (name, each) in enumerate(stored.items()):
        said = each[sample * PERIOD + number :][:PERIOD]
        if name != "input0" and len(said):
            mine = run.spikes[name][: len(said), 0]
            assert torch.equal(mine, said), name
            compared += said.numel()
    assert compared == (2_021_426, 642_864)[sample]


@pytest.mark.slow
def test_pilotnet_on_the_time_of_lava(pilotnet):
    """All 24 steps, those before the first sample included, where a bias alone drives a layer."""
    _, program = pilotnet
    network, stored = program.network, spikes("pilotnet_lif")
    store, names = WholeStore.of(network), list(stored)
    compared = 0
    for number, name in enumerate(names[1:], 1):
        place = network.places[name]
        assert isinstance(place, Population)
        assert isinstance(place.neuron, FixedNeuron)
        before = stored[names[number - 1]]
        arriving = torch.cat([torch.zeros_like(before[:1]), before[:-1]])[:, None]
        source = network.incoming[name][0].source
        for start, stop in ((0, number), (number, number + PERIOD), (number + PERIOD, 24)):
            if start < min(stop, 24):
                heard, _ = gather(network, name, {source: arriving[start:stop]}, {}, store)
                fired = fire(place.neuron, heard, store).spikes[:, 0]
                assert torch.equal(fired, stored[name][start:stop].bool()), (name, start)
                compared += fired.numel()
    assert compared == 2_853_792


@pytest.mark.slow
def test_pilotnet_with_a_silent_input_has_the_synaptic_operations_of_the_chip(pilotnet):
    """Its biases alone drive it, as in Lava-DL's benchmark on Loihi 2, reset every 16 steps: the
    counter of the chip has 1.31e9 operations of each of its 13 cores of the second convolution in
    10,000 steps, and 1.508e9 of each of 3 cores of the third (weights of 0 do not count)."""
    module, _ = pilotnet
    x = torch.zeros(16, 1, 3, 66, 200).double()
    with torch.no_grad():
        first = module.conv1(module.conv1_synapses(x))
        second = module.conv2(module.conv2_synapses(first))
        operations = []
        for synapses, sent in ((module.conv2_synapses, first), (module.conv3_synapses, second)):
            weight = synapses.weight0
            synapses.weight0 = (weight != 0).double()
            operations.append(float(synapses(sent).sum()) / 16)
            synapses.weight0 = weight
    assert first.sum() / 16 == 26_928
    assert operations == [1_604_872.5, 452_130.0]
    assert operations[1] / 3 == pytest.approx(1.508e9 / 10_000, rel=1e-3)
