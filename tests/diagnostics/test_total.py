"""check says something of every module and every input, however odd, and never breaks."""

from __future__ import annotations

import pytest
import torch
import torch.utils.checkpoint
from torch import nn

import snncc
from snncc.nn import IF

T, N = 4, 2
X = torch.ones(T, N, 8)


class Net(nn.Module):
    """Two layers of neurons; ``between`` sits between them."""

    def __init__(self, between=lambda x: x, **layers):
        super().__init__()
        self.fc1, self.sn1, self.fc2, self.sn2 = nn.Linear(8, 8), IF(), nn.Linear(8, 8), IF()
        self.between = between
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, x):
        return self.sn2(self.fc2(self.between(self.sn1(self.fc1(x)))))


class Returns(Net):
    """What ``made`` makes of what a network yields."""

    def __init__(self, made):
        super().__init__()
        self.made = made

    def forward(self, x):
        return self.made(super().forward(x))


class OverTime(nn.Module):
    """A norm whose statistics are one per time step."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(T)

    def forward(self, x):
        return self.norm(x.transpose(0, 1)).transpose(0, 1)


class Endless(nn.Module):
    def forward(self, x):
        return self.forward(x)


class TwoInputs(Net):
    def forward(self, x, y):
        return super().forward(x + y)


def raises(error):
    def between(x):
        raise error

    return Net(between)


def with_parametrized_layer():
    net = Net()
    nn.utils.parametrizations.weight_norm(net.fc2)
    return net


def with_hook():
    net = Net()
    net.fc2.register_forward_hook(lambda module, given, y: y + 1)
    return net


def with_shared_layer():
    net = Net()
    net.fc2 = net.fc1
    return net


def errors(module, x=X, **options):
    report = snncc.check(module.eval(), x, "reference", **{"input": "spike"} | options)
    return [finding.code for finding in report.findings if finding.is_error]


ODD = {
    "on another device": (lambda: Net().to("meta"), "SNN307"),
    "one layer on another device": (lambda: Net(nn.Linear(8, 8, device="meta")), "SNN307"),
    "a lazy layer": (lambda: Net(nn.LazyLinear(8)), "SNN307"),
    "complex": (lambda: Net().to(torch.complex64), "SNN307"),
    "a complex number": (lambda: Net(lambda x: (x * 1j).real), "SNN301"),
    "bytes": (lambda: Net(lambda x: x.to(torch.uint8)), "SNN314"),
    "an error of two lines": (lambda: raises(ValueError("no\nway")), "SNN314"),
    "an end of the program": (lambda: raises(SystemExit(0)), "SNN314"),
    "no end": (Endless, "SNN314"),
    "two inputs": (TwoInputs, "SNN314"),
    "nothing": (lambda: Returns(lambda y: None), "SNN314"),
    "a word": (lambda: Returns(lambda y: "y"), "SNN314"),
    "a number": (lambda: Returns(lambda y: 3), "SNN314"),
    "an empty dict": (lambda: Returns(lambda y: {}), "SNN314"),
    "dicts and lists": (lambda: Returns(lambda y: {"a": y, "b": {"c": [y, None, "s"]}}), "SNN403"),
    "no neurons": (nn.Identity, "SNN113"),
    "one output a sample": (
        lambda: Returns(lambda y: [y[:, n] for n in range(y.shape[1])]),
        "SNN301",
    ),
    "a temporal norm": (lambda: Net(OverTime()), "SNN112"),
    "time doubled": (lambda: Net(lambda x: torch.cat([x, x])), "SNN112"),
    "scripted as a whole": (lambda: torch.jit.script(nn.Sequential(nn.Linear(8, 8))), "SNN311"),
    "a scripted layer": (lambda: Net(torch.jit.script(nn.Linear(8, 8))), "SNN311"),
    "vmap": (lambda: Net(torch.vmap(lambda x: 2 * x)), "SNN311"),
    "checkpointing": (
        lambda: Net(lambda x: torch.utils.checkpoint.checkpoint(torch.sin, x, use_reentrant=False)),
        "SNN301",
    ),
    "sparse": (lambda: Net(lambda x: x.to_sparse().to_dense()), "SNN301"),
    "numpy": (lambda: Net(lambda x: torch.tensor(x.numpy())), "SNN302"),
    "a list": (lambda: Net(lambda x: torch.tensor(x.tolist())), "SNN302"),
    "an item": (lambda: Net(lambda x: x * x.max().item()), "SNN302"),
    "a branch on data": (lambda: Net(lambda x: x if x.sum() > 0 else 2 * x), "SNN302"),
    "a mask": (lambda: Net(lambda x: x[x > 0].sum() + x), "SNN301"),
    "a write through a view": (lambda: Net(lambda x: x[:, :, :4].mul_(2) is None or x), "SNN310"),
}


@pytest.mark.parametrize("name", ODD)
def test_a_module_that_is_odd(name):
    make, code = ODD[name]
    assert set(errors(make())) == {code}


FINE = {
    "in half precision": (lambda: Net().half()),
    "in bfloat16": (lambda: Net().bfloat16()),
    "in float64": (lambda: Net().double()),
    "parametrized": with_parametrized_layer,
    "hooked": with_hook,
    "a layer at two places": with_shared_layer,
    "a layer that nobody calls": (lambda: Net(dead=nn.Linear(3, 3))),
    "without gradients": (lambda: Net(torch.no_grad()(lambda x: 2 * x))),
    "for several devices": (lambda: nn.DataParallel(Net())),
    "keys that are numbers": (lambda: Returns(lambda y: {1: y})),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FINE)
def test_a_module_that_only_looks_odd(name):
    module = FINE[name]().eval()
    assert not errors(module)
    program = snncc.compile(module, X, "reference", input="spike")
    comparison = snncc.compare(module, program, X)
    assert comparison.equal
    assert comparison.compared >= 2 * X.numel()
    assert not any("dead" in name for name in program.network.tensors)


INPUTS = {
    "nothing": (None, "SNN312"),
    "a word": ("x", "SNN312"),
    "ragged": ([[1.0], [1.0, 2.0]], "SNN312"),
    "without values": (X.to("meta"), "SNN312"),
    "complex": (X + 0j, "SNN312"),
    "sparse": (X.to_sparse(), "SNN312"),
    "no steps": (X[:0], "SNN312"),
    "no samples": (X[:, :0], "SNN312"),
    "a number": (torch.tensor(1.0), "SNN306"),
    "one axis": (X[0, 0], "SNN306"),
    "other features": (X[..., :7], "SNN314"),
}


@pytest.mark.parametrize("name", INPUTS)
def test_an_input_that_is_odd(name):
    x, code = INPUTS[name]
    assert errors(Net(), x) == [code]
    with pytest.raises(snncc.SnnccError, match=code):
        snncc.compile(Net().eval(), x, "reference", input="spike")


@pytest.mark.parametrize("x", [X.half(), X.bool(), X.long(), X.numpy(), X.tolist()])
def test_an_input_of_another_type(x):
    assert not errors(Net(), x)


def test_training_mode_moves_statistics():
    net = Net(nn.Sequential(nn.Flatten(0, 1), nn.BatchNorm1d(8), nn.Unflatten(0, (T, -1)))).train()
    report = snncc.check(net, X, "reference", input="spike")
    assert [finding.code for finding in report.findings] == ["SNN308"]


def test_autocast_around_a_check_is_of_no_account():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not errors(Net())


def test_what_a_call_writes_into_a_tensor_of_its_own_is_its_result():
    def doubled(x):
        y = torch.empty(*x.shape)
        torch.mul(x, 2, out=y)
        return y

    net = Net(doubled).eval()
    program = snncc.compile(net, X, "reference", input="spike")
    comparison = snncc.compare(net, program, X)
    assert comparison.equal
    assert comparison.compared >= 2 * X.numel()


def test_the_batch_size_is_no_constant():
    (finding,) = snncc.check(
        Net(lambda x: x / x.shape[1]).eval(), X, "reference", input="spike"
    ).findings
    assert finding.code == "SNN315"
    assert "another number of samples" in finding.message
