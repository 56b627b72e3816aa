"""Multi-level firing against its equations, and the residual networks made of it."""

import pytest
import torch
from torch import Tensor, nn

import snncc
from snncc.ir.ops import Conv
from snncc.nn import MLF, DSBlock, LevelConv2d, MLFResNet, PlainBlock, TDBatchNorm

KINDS = ("ds", "plain")


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def shaken(network: nn.Module) -> nn.Module:
    """In eval mode, with statistics that make most levels fire."""
    torch.manual_seed(1)
    for layer in network.modules():
        if isinstance(layer, TDBatchNorm):
            nn.init.uniform_(layer.weight, 0.5, 3)
            nn.init.normal_(layer.bias)
            layer.running_var.uniform_(0.2, 2)
    return network.eval()


def by_hand(x: Tensor, tau: float, thresholds: tuple[float, ...]) -> Tensor:
    """u_k ← τ·u_k·(1 − s_k) + x; s_k = [u_k > V_k]; o = Σ s_k, one scalar at a time."""
    out = torch.zeros_like(x)
    for place in range(x[0].numel()):
        for threshold in thresholds:
            u = s = 0.0
            for t in range(len(x)):
                u = tau * u * (1 - s) + x[t].flatten()[place].item()
                s = float(u > threshold)
                out[t].view(-1)[place] += s
    return out


@pytest.mark.parametrize(("tau", "thresholds"), [(0.25, (0.6, 1.6, 2.6)), (1.0, (0.5,))])
def test_levels_share_the_input_and_nothing_else(tau: float, thresholds: tuple[float, ...]) -> None:
    x = 2 * torch.randn(7, 2, 3, 4, dtype=torch.float64)
    x[0, 0, 0, 0] = thresholds[0]  # exactly the threshold does not fire
    neuron = MLF(tau, thresholds)
    counts = neuron(x)
    assert torch.equal(counts, by_hand(x, tau, thresholds))
    assert counts[0, 0, 0, 0] == 0
    assert counts.max() == len(thresholds)
    u, s = neuron.levels(x)
    assert u.shape == s.shape == (7, len(thresholds), 2, 3, 4)
    assert torch.equal(s, (u > torch.tensor(thresholds).double().view(-1, 1, 1, 1)).double())
    assert torch.equal(s.sum(1), counts)


def test_the_gradient_is_that_of_each_level_in_its_window() -> None:
    """Rectangular, width 1: a level passes 1 where |u − V| < ½; more levels, more of the range."""
    x = torch.tensor([[0.05, 0.3, 1.0, 1.3, 2.0, 3.3]], requires_grad=True)
    MLF()(x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [[0, 1, 1, 1, 1, 0]]
    y = x.detach().requires_grad_()
    MLF(thresholds=(0.6,))(y).sum().backward()
    assert y.grad is not None
    assert y.grad.tolist() == [[0, 1, 1, 0, 0, 0]]


def test_the_gradient_goes_back_in_time_through_the_leak_and_not_through_the_reset() -> None:
    x = torch.tensor([[0.4], [0.9], [0.3]], requires_grad=True)  # fires in the second step alone
    MLF(0.25, (0.6,))(x)[2].sum().backward()
    assert x.grad is not None
    assert x.grad.flatten().tolist() == [0, 0, 1]  # u was reset: nothing of the steps before
    x.grad = None
    MLF(0.25, (0.6,))(x)[1].sum().backward()
    assert x.grad.flatten().tolist() == pytest.approx([0.25, 1, 0])


def test_the_norm_has_its_epsilon_outside_of_the_root() -> None:
    norm = TDBatchNorm(3, threshold=0.5, alpha=2.0, eps=0.1).double()
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    x = torch.randn(4, 2, 3, 5, 5, dtype=torch.float64)
    for channel in range(3):
        one = x[:, :, channel]
        expected = (one - one.mean()) / (one.std(unbiased=False) + 0.1)
        expected = 2.0 * 0.5 * expected * norm.weight[channel] + norm.bias[channel]
        torch.testing.assert_close(norm(x)[:, :, channel], expected)
    for _ in range(200):
        norm(x)
    torch.testing.assert_close(norm.eval()(x), norm.train()(x))


@pytest.mark.parametrize("stride", [1, 2])
def test_the_sum_comes_after_firing_or_before(stride: int) -> None:
    x = torch.randint(0, 4, (4, 2, 3, 7, 7)).float()
    ds, plain = shaken(DSBlock(3, 3, stride)), shaken(PlainBlock(3, 3, stride))
    assert torch.equal(ds(x), ds.residual(x) + ds.shortcut(x))
    assert torch.equal(plain(x), MLF()(plain.residual(x) + plain.shortcut(x)))
    assert plain(x).max() <= 3
    if stride == 1:
        assert ds(x).max() > 3  # the counts of DS blocks add up
        assert isinstance(ds.shortcut, nn.Identity)
        assert isinstance(plain.shortcut, nn.Identity)
    else:
        assert set(ds.shortcut(x).unique().tolist()) <= {0, 1, 2, 3}
        assert (plain.shortcut(x) != plain.shortcut(x).round()).any()  # a current


def test_a_ds_block_whose_branch_is_silent_is_the_identity_of_counts() -> None:
    block = DSBlock(3, 3)
    nn.init.zeros_(block.residual[4].weight)
    x = torch.randint(0, 4, (4, 2, 3, 5, 5)).float()
    assert torch.equal(block(x), x)


def test_a_count_is_the_sum_of_its_levels() -> None:
    conv = LevelConv2d(4, 2, 3, kernel=3, stride=2).double()
    counts = torch.randint(0, 5, (6, 2, 9, 9)).double()
    planes = torch.cat([(counts >= k).double() for k in range(1, 5)], dim=1)
    one = nn.functional.conv2d(counts, conv.weight, None, 2, 1)
    torch.testing.assert_close(conv(planes), one)


@pytest.mark.parametrize("residual", KINDS)
def test_all_parameters_learn(residual: str) -> None:
    network = MLFResNet(widths=(4, 6), blocks=(2, 1), residual=residual, stem_stride=2)
    logits = network(torch.randint(0, 5, (3, 4, 2, 20, 20)).float())
    assert logits.shape == (4, 10)
    logits.square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="sum"):
        MLFResNet(residual="sum")
    with pytest.raises(ValueError, match="2 widths, 1 stages"):
        MLFResNet(widths=(4, 8), blocks=(1,))


@pytest.mark.parametrize("residual", KINDS)
def test_each_call_is_three_populations_that_share_one_input_and_their_weights(
    residual: str,
) -> None:
    network = shaken(MLFResNet(widths=(3, 4), blocks=(2, 1), residual=residual, stem_stride=2))
    counts = torch.randint(0, 6, (4, 3, 2, 12, 12)).float()
    program = snncc.compile(network, counts, "loihi", input="count", layout="TN")
    calls = [name for name, m in network.named_modules() if isinstance(m, MLF)]
    for name in calls:
        levels = [p for p in program.network.populations if p.name.startswith(f"{name}.level")]
        assert len(levels) == 3
        kernels = [
            sorted(
                (projection.source, str(op.weight))
                for projection in program.network.incoming[level.name]
                for op in projection.map
                if isinstance(op, Conv)
            )
            for level in levels
        ]
        assert kernels[0] == kernels[1] == kernels[2] != []  # one tensor for all levels it goes to
        by_source = dict(kernels[0])
        for source, kernel in by_source.items():  # and for all levels that it comes from
            call, level, _ = source.partition(".level")
            if level:
                assert {by_source[f"{call}.level{k}"] for k in range(1, 4)} == {kernel}
    comparison = snncc.compare(network, program, counts)
    assert comparison.equal
    assert not comparison.ties
