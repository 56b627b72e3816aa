"""The gates' truth tables, and the two streams of a block."""

import pytest
import torch
from torch import Tensor, nn

from snncc.nn import LIF, AuxiliaryPathway, DSTBlock, DSTBottleneck, Gate, OverTime

S = torch.tensor([0.0, 0.0, 1.0, 1.0]).reshape(1, 1, 4)
I = torch.tensor([0.0, 1.0, 0.0, 1.0]).reshape(1, 1, 4)  # noqa: E741
TABLES = {
    "and": [0, 0, 0, 1],
    "iand": [0, 1, 0, 0],
    "or": [0, 1, 1, 1],
    "xor": [0, 1, 1, 0],
    "add": [0, 1, 1, 1],  # one step of an IF: s + i >= 1
    "sum": [0, 1, 1, 2],
}
BLOCKS = [DSTBlock, DSTBottleneck]


def spikes(*shape: int, rate: float = 0.4) -> Tensor:
    return (torch.rand(*shape) < rate).float()


def shaken(module: nn.Module) -> nn.Module:
    """Random batch-norm parameters, so that a zero-initialised block fires too."""
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight)
            nn.init.normal_(layer.bias)
    return module


@pytest.mark.parametrize("name", TABLES)
def test_truth_table(name: str) -> None:
    assert Gate(name)(S, I).flatten().tolist() == TABLES[name]


def test_add_gate_integrates_over_time() -> None:
    s, i = torch.tensor([[0.0], [0.0]]), torch.tensor([[1.0], [1.0]])
    gate = Gate("add", lambda: LIF(tau=2.0))
    assert gate(s, i).flatten().tolist() == [0, 0]
    assert gate(s + 1, i).flatten().tolist() == [1, 1]


def test_an_unknown_gate_is_refused() -> None:
    with pytest.raises(ValueError, match="nand"):
        Gate("nand")


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("gate", TABLES)
def test_a_zero_initialised_block_of_one_shape_is_the_identity(block: type, gate: str) -> None:
    width = 8 // block.expansion
    o = spikes(5, 2, 8, 6, 6)
    out, a = block(8, width, gate=gate)(o, o)
    assert torch.equal(out, o)
    assert torch.equal(a, o + 1 if gate == "and" else o)


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("gate", TABLES)
@pytest.mark.parametrize("stride", [1, 2])
def test_spikes_stay_spikes_and_gradients_flow(block: type, gate: str, stride: int) -> None:
    torch.manual_seed(1)
    module = shaken(block(3, 6, stride, gate))
    o, a = module(spikes(4, 2, 3, 7, 7), spikes(4, 2, 3, 7, 7))
    size = 7 if stride == 1 else 4
    assert o.shape == a.shape == (4, 2, 6 * block.expansion, size, size)
    assert set(o.unique().tolist()) == ({0.0, 1.0, 2.0} if gate == "sum" else {0.0, 1.0})
    (o.sum() + a.square().sum()).backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("gate", TABLES)
def test_the_accumulation_taps_before_the_gate_and_never_feeds_back(gate: str) -> None:
    torch.manual_seed(2)
    block = shaken(DSTBlock(4, 4, gate=gate))
    o = spikes(4, 2, 4, 6, 6)
    s = block.residual(o)
    assert s.sum() > 0
    outs = []
    for a in (torch.zeros_like(o), torch.randn_like(o), None):
        out, accumulated = block(o, a)
        outs.append(out)
        assert accumulated is None if a is None else torch.equal(accumulated, a + s)
    assert torch.equal(outs[0], outs[1])
    assert torch.equal(outs[0], outs[2])


def test_a_block_without_pathway_refuses_an_accumulation() -> None:
    o = spikes(2, 1, 4, 6, 6)
    block = DSTBlock(4, 4, auxiliary=False)
    assert block(o)[1] is None
    assert not any("auxiliary" in name for name, _ in block.named_parameters())
    with pytest.raises(ValueError, match="auxiliary=False"):
        block(o, o)


def layers(pathway: AuxiliaryPathway) -> list[str]:
    return [type(layer).__name__ for layer in pathway.modules() if not list(layer.children())]


@pytest.mark.parametrize(
    ("channels", "stride", "expected"),
    [
        ((4, 4), 1, ["Identity"]),
        ((4, 6), 1, ["Conv2d", "BatchNorm2d", "ReLU"]),
        ((4, 6), 2, ["Conv2d", "Conv2d", "BatchNorm2d", "ReLU"]),
        ((4, 4), 2, ["Conv2d", "Conv2d", "BatchNorm2d", "ReLU"]),
    ],
)
@pytest.mark.parametrize("size", [7, 8])
def test_the_projection_appears_where_the_shape_changes(
    channels: tuple[int, int], stride: int, expected: list[str], size: int
) -> None:
    pathway = AuxiliaryPathway(*channels, stride)
    assert layers(pathway) == expected
    after = -(-size // stride)
    s = spikes(3, 2, channels[1], after, after)
    a = torch.randn(3, 2, channels[0], size, size)
    out = pathway(a, s)
    assert out.shape == s.shape
    if stride > 1:
        depthwise = next(m for m in pathway.modules() if isinstance(m, nn.Conv2d))
        assert (depthwise.groups, depthwise.kernel_size) == (channels[0], (3, 3))
        assert (out >= s).all()  # ReLU(…) + s


def test_over_time_is_the_layer_on_every_step() -> None:
    conv = nn.Conv2d(2, 3, 3, stride=2).double()
    x = torch.randn(4, 2, 2, 9, 9, dtype=torch.float64)
    steps = torch.stack([conv(step) for step in x])
    torch.testing.assert_close(OverTime(conv)(x), steps)
