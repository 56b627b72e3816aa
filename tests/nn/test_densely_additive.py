"""DANet against the equations in its module's docstring, and against SEW and plain residuals."""

import pytest
import torch
from torch import Tensor, nn

import snncc
from snncc.nn import IF, LIF, AdditiveStage, DANet, PlainSpikingBlock

KINDS = ("dense", "sew", "plain")
SIZES = {"widths": (3, 4, 5), "blocks": (2, 1, 2)}


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def events(*shape: int) -> Tensor:
    return (torch.rand(*shape) < 0.4).float()


def shaken(network: nn.Module) -> nn.Module:
    """In eval mode, with statistics that make most neurons fire."""
    torch.manual_seed(1)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 3)
            nn.init.uniform_(layer.bias, -0.2, 0.8)
            layer.running_var.uniform_(0.1, 0.5)
    return network.eval()


def lif(current: Tensor) -> Tensor:
    """v ← v/2 + x; fires where v ≥ 1, and is then 0."""
    v, spikes = torch.zeros_like(current[0]), []
    for x in current:
        v = v / 2 + x
        spikes.append((v >= 1).to(x.dtype))
        v = v * (v < 1)
    return torch.stack(spikes)


def conv_norm(x: Tensor, layer: nn.Module) -> Tensor:
    conv, norm = layer.layer
    return torch.stack([norm(conv(step)) for step in x])


def projected(x: Tensor, projection: nn.Module) -> Tensor:
    return x if isinstance(projection, nn.Identity) else lif(conv_norm(x, projection[0]))


def branch(x: Tensor, block: nn.Module) -> Tensor:
    return lif(conv_norm(lif(conv_norm(x, block[0])), block[2]))


@pytest.mark.parametrize("kind", ["dense", "sew"])
def test_stages_are_those_of_the_equations(kind: str) -> None:
    """o_s = Σ_{i<s} P(o_i) + Σ_b f_b, with every term computed by hand; SEW has i = s − 1 alone."""
    network = shaken(DANet(**SIZES, connections=kind)).double()
    x = events(5, 2, 2, 20, 20).double()
    outputs = [lif(conv_norm(x, network.stem[0]))]
    for stage in network.stages:
        first = 0 if kind == "dense" else len(outputs) - 1
        read = outputs[first:]
        terms = [projected(o, p) for o, p in zip(read, stage.projections, strict=True)]
        for number, block in enumerate(stage.blocks):
            heard = outputs[-1] if number == 0 else torch.stack(terms).sum(0)
            terms.append(branch(heard, block))
        assert len(terms) == (len(outputs) if kind == "dense" else 1) + len(stage.blocks)
        outputs.append(torch.stack(terms).sum(0))
        assert torch.equal(outputs[-1], stage(read))
        assert all(term.any() for term in terms)
    pooled = torch.stack([step.mean((2, 3)) for step in outputs[-1]]).mean(0)
    torch.testing.assert_close(network(x), network.fc(pooled))


def test_a_projection_fits_every_earlier_stage() -> None:
    """Stage 3 gets the stem and stages 1 and 2, with strides 4, 4 and 2."""
    stage = DANet(**SIZES).stages[2]
    shapes = [
        (conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride)
        for conv in (p[0].layer[0] for p in stage.projections)
    ]
    assert shapes == [(3, 5, (1, 1), (4, 4)), (3, 5, (1, 1), (4, 4)), (4, 5, (1, 1), (2, 2))]


def test_sew_and_dense_are_the_same_up_to_the_first_stage_that_has_two_earlier_ones() -> None:
    dense, sew = (shaken(DANet(**SIZES, connections=kind)) for kind in ("dense", "sew"))
    counts = [[len(stage.projections) for stage in net.stages] for net in (dense, sew)]
    assert counts == [[1, 2, 3], [1, 1, 1]]
    assert all(isinstance(net.stages[0].projections[0], nn.Identity) for net in (dense, sew))


@pytest.mark.parametrize("stride", [1, 2])
def test_the_plain_block_fires_after_the_sum(stride: int) -> None:
    block = shaken(PlainSpikingBlock(3, 3, stride)).double()
    x = events(5, 2, 3, 7, 7).double()
    inner = conv_norm(lif(conv_norm(x, block.residual[0])), block.residual[2])
    shortcut = x if stride == 1 else conv_norm(x, block.shortcut)
    assert torch.equal(block(x), lif(inner + shortcut))


def test_blocks_that_are_silent_leave_the_sum_of_the_projections() -> None:
    stage = AdditiveStage([(2, 2), (3, 1)], 3, blocks=2, neuron=IF)
    for block in stage.blocks:
        nn.init.zeros_(block[2].layer[1].weight)
        nn.init.zeros_(block[2].layer[1].bias)
    earlier = [events(4, 2, 2, 9, 9), events(4, 2, 3, 5, 5)]
    stage = stage.eval()
    assert torch.equal(stage(earlier), stage.projections[0](earlier[0]) + earlier[1])


@pytest.mark.parametrize("kind", KINDS)
def test_all_parameters_learn(kind: str) -> None:
    network = DANet(**SIZES, connections=kind, neuron=lambda: LIF(tau=2.0))
    logits = network(events(3, 4, 2, 20, 20))
    assert logits.shape == (4, 10)
    logits.square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="concat"):
        DANet(connections="concat")
    with pytest.raises(ValueError, match="2 widths, 1 stages"):
        DANet(widths=(4, 8), blocks=(1,))


@pytest.mark.parametrize("kind", KINDS)
def test_sums_are_distributed_to_every_spike_that_is_added(kind: str) -> None:
    network = shaken(DANet(**SIZES, connections=kind))
    x = events(4, 3, 2, 20, 20)
    program = snncc.compile(network, x, "loihi", input="spike", layout="TN")
    neurons = [p.name for p in program.network.populations]
    assert all(p.role == "neuron" for p in program.network.populations)
    last = {p.source for p in program.network.projections if p.target not in neurons}
    terms = {"dense": 3 + 2, "sew": 1 + 2, "plain": 1}[kind]
    assert len(last) == terms  # the readout hears each term of the last sum
    comparison = snncc.compare(network, program, x)
    assert comparison.equal
    assert not comparison.ties
