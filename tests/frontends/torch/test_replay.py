"""Calls are replayed, and a handler reads every argument or it has its default."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import snncc
from snncc.diagnostics import SnnccError
from snncc.frontends.torch import read, trace
from snncc.frontends.torch.calls import HANDLERS
from snncc.frontends.torch.functions import by_name
from snncc.frontends.torch.tracked import Call
from snncc.ir.ops import Reduce

X = torch.randint(0, 2, (4, 3, 6), generator=torch.Generator().manual_seed(0)).float()


class Net(nn.Module):
    def __init__(self, between) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc, self.fc2 = nn.Linear(6, 6), nn.Linear(6, 6)
        self.sn, self.out, self.between = snncc.nn.IF(0.1), snncc.nn.IF(0.2), between

    def forward(self, x):
        return self.out(self.fc2(self.between(self.sn(self.fc(x)))))


def codes(between) -> list[str]:
    return [f.code for f in read(Net(between).eval(), X, input="spike", layout="TN").findings]


# -- a handler that is wrong is found, whatever it is wrong about ---------------------------------


def exchange(monkeypatch, name: str, handler) -> None:
    monkeypatch.setitem(HANDLERS, name, (HANDLERS[name][0], handler))


def test_another_function_of_single_values(monkeypatch):
    """They agree on spikes: only drawn values tell them apart."""
    exchange(monkeypatch, "abs", HANDLERS["relu"][1])
    with pytest.raises(SnnccError, match=r"SNN323.*`abs` gives .* where what it was read as gives"):
        trace(Net(torch.abs).eval(), X, input="spike", layout="TN")


def test_another_axis(monkeypatch):
    def wrong(recorder, call):
        node, axes = recorder.solid(call["input"])
        call["dim"], call["keepdim"]
        name = recorder.emit(Reduce("sum", (0,), True), [node], (1,), axes, what="mean")
        recorder.bind(call.result, name, axes)

    exchange(monkeypatch, "mean", wrong)
    assert codes(lambda a: a.mean(-1, keepdim=True) + torch.zeros(6)) == ["SNN323"]


def test_an_argument_that_a_handler_forgets(monkeypatch):
    parameters, plain = HANDLERS["pow"]

    def forgetful(recorder, call):
        plain(recorder, Call("pow", {"input": call["input"], "other": 1.0}, call.result))

    monkeypatch.setitem(HANDLERS, "pow", (parameters, forgetful))
    assert codes(lambda a: torch.pow(a, 1.0)) == ["SNN301"]


def test_check_replays_too(monkeypatch):
    exchange(monkeypatch, "abs", HANDLERS["relu"][1])
    report = snncc.check(Net(torch.abs).eval(), X, "reference", input="spike", layout="TN")
    assert [f.code for f in report.findings if f.is_error] == ["SNN323"]


@pytest.mark.parametrize(
    "between",
    [
        lambda a: a.abs_(),
        lambda a: torch.neg(a, out=torch.empty_like(a)),
        lambda a: a.mul(a),
        lambda a: a.transpose(0, 1).transpose(0, 1),
        lambda a: a.unsqueeze(-1).squeeze(-1),
        lambda a: a.reshape(4, -1, 2, 3).transpose(-1, -2).flatten(-2),
        lambda a: torch.where(a > 0, 2.0, -1.0),
        lambda a: a.flatten(0, 1).unflatten(0, (4, -1)),
        lambda a: (a.bool() | ~a.bool()).float(),
        lambda a: F.pad(a, (1, 1))[..., 1:-1],
    ],
)
def test_what_is_read_rightly_passes(between):
    assert codes(between) == []


# -- arguments ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "args", "kwargs", "values", "left"),
    [
        ("input dim=0", (1, 2), {}, {"input": 1, "dim": 2}, False),
        ("input dim=0", (1,), {}, {"input": 1, "dim": 0}, False),
        ("input dim=0", (1, 2, 3), {}, {"input": 1, "dim": 2}, True),
        ("input dim", (1,), {"axis": 2}, {"input": 1, "dim": 2}, False),
        ("input dim", (1,), {"odd": 2}, {"input": 1, "dim": None, "odd": 2}, False),
        ("input *rest", (1, 2, 3), {}, {"input": 1, "rest": (2, 3)}, False),
        ("input ~*rest", (1, 2, 3), {"odd": 2}, {"input": 1}, False),
        ("input ~size dim=-1", (1, 2), {}, {"input": 1, "dim": -1}, False),
        ("input mode='nearest'", (1,), {}, {"input": 1, "mode": "nearest"}, False),
    ],
)
def test_arguments_by_name(parameters, args, kwargs, values, left):
    found, _, more = by_name(tuple(parameters.split()), args, kwargs)
    assert (found, more) == (values, left)


def test_what_nobody_read_must_be_the_default():
    call = Call("f", {"input": 1, "alpha": 2, "beta": 1, "inplace": True}, None, {"beta": 1})
    assert call.unread() == ["input", "alpha"]
    assert (call["input"], call.get("alpha"), call.get("gamma", 3)) == (1, 2, 3)
    assert call.unread() == []


@pytest.mark.parametrize(
    ("between", "said"),
    [
        (lambda a: torch.round(a * 0.3, decimals=1), "argument `decimals` of `round`"),
        (lambda a: F.softplus(a, beta=2.0), "argument `beta` of `softplus`"),
        (lambda a: F.elu(a, 2.0), "argument `alpha` of `elu`"),
    ],
)  # fmt: skip
def test_the_message_names_the_argument(between, said):
    findings = read(Net(between).eval(), X, input="spike", layout="TN").findings
    assert findings
    assert said in findings[0].message


# -- whole numbers --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("between", "said"),
    [
        (lambda a: (a.to(torch.uint8) - 1).float(), "`sub` computes in uint8, which wraps"),
        (lambda a: (a.to(torch.int8) * 100 + 100).float(), "computes in int8, which wraps"),
        (lambda a: (a * 300).to(torch.uint8).float(), "computes in uint8, which wraps"),
        (lambda a: (a.to(torch.int8) * 100).float(), ""),
        (lambda a: a.long().float(), ""),
        (lambda a: a.half().float(), "half precision"),
    ],
)
def test_the_range_of_a_dtype(between, said):
    findings = read(Net(between).eval(), X, input="spike", layout="TN").findings
    assert bool(findings) is bool(said)
    assert all(said in f.message for f in findings[:1])
