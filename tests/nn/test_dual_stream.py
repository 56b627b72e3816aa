"""The whole network: heads, readout, static input, and that the AAP only watches."""

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from snncc.nn import PLIF, DSTBlock, DualStreamResNet, dst_loss

GATES = ["and", "iand", "or", "xor", "add", "sum"]


def events(t: int = 4, n: int = 2) -> Tensor:
    return (torch.rand(t, n, 2, 34, 34) < 0.2).float()


def network(**options: object) -> DualStreamResNet:
    torch.manual_seed(0)
    small = {"widths": (4, 8), "blocks": (1, 2), "stem_stride": 2, "zero_init": False}
    return DualStreamResNet(**{**small, **options})  # type: ignore[arg-type]


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("block", ["basic", "bottleneck"])
def test_the_pathway_changes_nothing_in_the_spike_head(gate: str, block: str) -> None:
    dual = network(gate=gate, block=block).double().eval()
    plain = network(gate=gate, block=block, auxiliary=False).double().eval()
    shared = {k: v for k, v in dual.state_dict().items() if ".auxiliary." not in k}
    assert plain.state_dict().keys() == shared.keys()
    plain.load_state_dict(shared)
    x = events().double()
    before, accumulated = dual(x)
    assert torch.equal(plain(x), before)
    for name, parameter in dual.named_parameters():
        if ".auxiliary." in name:
            nn.init.normal_(parameter)
    after, disturbed = dual(x)
    assert torch.equal(before, after)
    assert not torch.equal(accumulated, disturbed)


def test_both_heads_share_fc_after_pooling_and_the_mean_over_time() -> None:
    model = network().eval()
    streams: list[tuple[Tensor, Tensor]] = []
    last = [m for m in model.modules() if isinstance(m, DSTBlock)][-1]
    last.register_forward_hook(lambda *call: streams.append(call[2]))
    heads = model(events())
    for stream, head in zip(streams[0], heads, strict=True):
        expected = nn.functional.linear(stream.mean((0, 3, 4)), model.fc.weight, model.fc.bias)
        torch.testing.assert_close(head, expected)


@pytest.mark.parametrize("pool", [False, True])
def test_a_static_image_is_its_repetition_over_time(pool: bool) -> None:
    options = {"in_channels": 1, "stem_pool": pool, "stem_kernel": 7}
    still = network(time_steps=5, **options).double().eval()
    moving = network(**options).double().eval()
    names = {k: k.replace("stem.layer.", "stem.") for k in moving.state_dict()}
    moving.load_state_dict({k: still.state_dict()[v] for k, v in names.items()})
    image = torch.rand(2, 1, 28, 28, dtype=torch.float64)
    torch.testing.assert_close(still(image), moving(image.expand(5, -1, -1, -1, -1)))


@pytest.mark.parametrize("gate", GATES)
def test_training_reaches_every_parameter(gate: str) -> None:
    # Far from zero initialisation, where the gradients of whole branches are exactly zero.
    model = network(gate=gate, neuron=partial(PLIF, init_tau=1.5))
    loss = dst_loss(model(4 * events(6, 8)), torch.arange(8))
    loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_loss_is_the_unweighted_sum() -> None:
    one, two, labels = torch.randn(3, 4), torch.randn(3, 4), torch.tensor([0, 3, 1])
    cross = nn.functional.cross_entropy
    torch.testing.assert_close(
        dst_loss((one, two), labels), cross(one, labels) + cross(two, labels)
    )
    torch.testing.assert_close(dst_loss(one, labels), cross(one, labels))


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"widths": (4,), "blocks": (1, 1)}, "width"),
        ({"block": "dense"}, "dense"),
        ({"gate": "nor"}, "nor"),
        ({"time_steps": 0}, "time_steps"),
    ],
)
def test_wrong_options_are_named(options: dict[str, object], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        network(**options)


def test_an_input_of_the_wrong_rank_is_named() -> None:
    with pytest.raises(ValueError, match=r"\(T, N, C, H, W\)"):
        network()(torch.zeros(2, 2, 34, 34))
    with pytest.raises(ValueError, match=r"\(N, C, H, W\)"):
        network(time_steps=4)(events())
