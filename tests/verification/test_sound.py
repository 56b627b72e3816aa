"""No program is another network than its module: refused with a code that says why, or equal.

Each module here compiled once into a program that fired other spikes on some of the inputs. They
are small, one kind of fault each, with siblings; `tests/generators/test_hostile.py` draws others.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import snncc
from snncc.diagnostics import SnnccError
from snncc.nn import IF, LIF

T, N, C = 4, 3, 6


def spikes(*shape: int, p: float = 0.5, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(*shape, generator=generator, dtype=torch.float64) < p).double()


EXAMPLE = spikes(T, N, C)
OTHERS = [
    *(spikes(T, N, C, p=p, seed=s) for s, p in ((1, 0.1), (2, 0.5), (3, 0.9), (4, 1.0), (5, 0.0))),
    spikes(T, 20, C, seed=9), spikes(T, 1, C, seed=10), spikes(T, 5, C, seed=11),
]  # fmt: skip


class Net(nn.Module):
    """dense, neuron, ``between`` of its spikes and the input, dense, neuron."""

    def __init__(self, neuron: nn.Module | None = None, between: Any = None) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.fc, self.fc2 = nn.Linear(C, C), nn.Linear(C, C)
        nn.init.normal_(self.fc.weight)
        nn.init.normal_(self.fc2.weight)
        self.sn, self.out = neuron or IF(threshold=0.3), IF(threshold=0.5)
        self.rare, self.total = IF(threshold=21.0), nn.Linear(C, C, bias=False)
        nn.init.constant_(self.total.weight, 1.0)  # `rare` fires on nearly full inputs only
        self._between = between

    def between(self, a: Tensor, x: Tensor) -> Tensor:
        return a if self._between is None else self._between(self, a, x)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.fc2(self.between(self.sn(self.fc(x)), x)))


def at_rest(module: nn.Module) -> None:
    for part in module.modules():
        reset = getattr(type(part), "reset", None)
        if callable(reset):
            part.reset()


def answer(module: nn.Module, x: Tensor, steps: int | None) -> Tensor:
    at_rest(module)
    with torch.no_grad():
        if steps is None:
            return module(x.clone())
        return torch.stack([module(x.clone()) for _ in range(steps)])


def outcome(
    make: Callable[[], nn.Module], example: Tensor = EXAMPLE, inputs: list[Tensor] = OTHERS,
    **options: Any,
) -> str:  # fmt: skip
    """The code of the refusal, or "equal" after the program was held against the module.

    Against a fresh one on every input, and one that is called again and again.
    """
    options = {"input": "spike", "layout": "TN", "target": "reference"} | options
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        module, steps = make().double().eval(), options.get("time_steps")
        again = copy.deepcopy(module)
        try:
            program = snncc.compile(copy.deepcopy(module), example, **options)
        except SnnccError as error:
            return error.findings[0].code
        for x in inputs:
            got = program.run(x).outputs
            for want in (answer(copy.deepcopy(module), x, steps), answer(again, x, steps)):
                assert torch.equal(got.reshape(want.shape), want.double())
        return "equal"
    finally:
        torch.set_default_dtype(before)


# -- arguments and dtypes that were dropped ------------------------------------------------------

CALLS = {
    "fmod": (lambda net, a, x: torch.fmod(a - 2 * x, 3.0), "equal"),
    "remainder": (lambda net, a, x: torch.remainder(a - 2 * x, 3.0), "equal"),
    "round to decimals": (lambda net, a, x: torch.round((a + x) * 0.25, decimals=1), "SNN301"),
    "division that rounds": (
        lambda net, a, x: torch.div(a - 2 * x, 3, rounding_mode="floor"), "SNN301",
    ),
    "sum with alpha": (lambda net, a, x: torch.add(a, x, alpha=-2), "equal"),
    "softplus with beta": (lambda net, a, x: F.softplus(a + x, 3.0), "SNN301"),
    "gelu by tanh": (lambda net, a, x: F.gelu(a + x, approximate="tanh"), "equal"),
    "one argument too many": (lambda net, a, x: F.elu(a - x, 2.0), "SNN301"),
    "truth values added": (lambda net, a, x: (a.bool() + x.bool()).double(), "equal"),
    "truth values multiplied": (lambda net, a, x: (a.bool() * x.bool()).double(), "equal"),
    "largest of truth values": (lambda net, a, x: torch.maximum(a.bool(), x.bool()) * 1.0, "equal"),
    "bytes subtracted": (
        lambda net, a, x: (a.to(torch.uint8) - x.to(torch.uint8)).double(), "SNN301",
    ),
    "bytes that fit": (
        lambda net, a, x: (a.to(torch.uint8) + x.to(torch.uint8)).double(), "equal",
    ),
    "short numbers that wrap": (
        lambda net, a, x: ((a.to(torch.int8) * 100 + x.to(torch.int8) * 100) > 0) * 1.0, "SNN301",
    ),
    "sum in bytes": (
        lambda net, a, x: (x.sum(-1, keepdim=True, dtype=torch.uint8) * 50).double() * a, "SNN301",
    ),
    "long numbers": (lambda net, a, x: (a.long() - 2 * x.long()).double(), "equal"),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_a_call_means_what_torch_computes(name):
    between, expected = CALLS[name]
    assert outcome(lambda: Net(between=between)) == expected


class Stem(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.conv, self.function = nn.Conv2d(2, 4, 3, padding=1), function
        self.sn, self.fc, self.out = IF(threshold=0.7), nn.Linear(144, 5), IF(threshold=0.5)
        nn.init.normal_(self.conv.weight)
        nn.init.normal_(self.fc.weight)

    def forward(self, x: Tensor) -> Tensor:
        y = self.function(self.conv(x)).unsqueeze(0).repeat(T, 1, 1, 1, 1)
        return self.out(self.fc(self.sn(y).flatten(2)))


IMAGES = [
    torch.randn(n, 2, 6, 6, generator=torch.Generator().manual_seed(n), dtype=torch.float64)
    for n in (2, 3, 5)
]
STEMS = {
    "elu": (lambda y: 2 * F.elu(y, 4.0) + 2, "SNN301"),
    "elu as it comes": (lambda y: 2 * F.elu(y) + 2, "equal"),
    "layer norm without epsilon": (
        lambda y: F.layer_norm(y * 1e-3, (4, 6, 6), eps=0.0), "equal",
    ),
    "group norm without epsilon": (lambda y: F.group_norm(y * 1e-3, 2, eps=0.0), "equal"),
    "leaky relu": (lambda y: F.leaky_relu(y, 0.5), "equal"),
    "the norm of torch itself": (
        lambda y: torch.batch_norm(
            y, torch.ones(4), torch.zeros(4), torch.full((4,), 0.25), torch.full((4,), 2.0),
            False, 0.1, 1e-5, False,
        ),
        "SNN301",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", STEMS)
def test_arguments_of_a_stem(name):
    function, expected = STEMS[name]
    options = {"input": "analog", "layout": "N"}
    assert outcome(lambda: Stem(function), IMAGES[0], IMAGES[1:], **options) == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"scale_factor": 2.1}, "SNN301"),
        ({"scale_factor": 2}, "equal"),
        ({"size": 6}, "equal"),
        ({"scale_factor": 2.1, "recompute_scale_factor": True}, "equal"),
    ],
)
def test_upsampling(options, expected):
    class Upsample(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.c, self.c2 = nn.Conv1d(2, 2, 3, padding=1), nn.Conv1d(2, 2, 1)
            self.sn, self.out = IF(threshold=0.1), IF(threshold=0.2)

        def forward(self, x: Tensor) -> Tensor:
            def each(function: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
                return function(z.flatten(0, 1)).unflatten(0, (x.shape[0], -1))

            up = each(lambda z: F.interpolate(z, **options), self.sn(each(self.c, x)))
            return self.out(each(self.c2, up))

    lines = [spikes(T, N, 2, 3, p=p, seed=s) for s, p in ((1, 0.3), (2, 0.5), (3, 0.9))]
    assert outcome(Upsample, lines[0], lines) == expected


# -- neurons that are not what their class says ------------------------------------------------


class Step(nn.Module):
    """A step function of some other form."""

    def __init__(self, form: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.form = form

    def forward(self, v: Tensor) -> Tensor:
        return self.form(v)


class Wears(nn.Module):
    """A step function that is another after so many calls."""

    def __init__(self, calls: int) -> None:
        super().__init__()
        self.calls, self.most = 0, calls

    def forward(self, v: Tensor) -> Tensor:
        self.calls += 1
        return (v >= 0).to(v) if self.calls <= self.most else torch.zeros_like(v)


STEPS = {
    "identity": (nn.Identity(), "SNN110"),
    "sigmoid": (nn.Sigmoid(), "SNN110"),
    "two levels": (Step(lambda v: (v >= 0).to(v) + (v >= 1).to(v)), "SNN110"),
    "a cap": (Step(lambda v: ((v >= 0) & (v < 40)).to(v)), "SNN110"),
    "graded": (Step(lambda v: v.clamp(min=0)), "SNN110"),
    "above, not at": (Step(lambda v: (v > 0).to(v)), "SNN319"),
    "a step": (Step(lambda v: (v >= 0).to(v)), "equal"),
    "worn out at once": (Wears(2), "SNN319"),
    "worn out later": (Wears(40), "SNN322"),
}


@pytest.mark.parametrize("name", STEPS)
def test_a_step_function_is_tried(name):
    step, expected = STEPS[name]
    assert outcome(lambda: Net(IF(threshold=0.5, surrogate=copy.deepcopy(step)))) == expected


def test_a_step_function_of_spikingjelly(spikingjelly):
    neuron, two = spikingjelly.module("neuron"), Step(lambda v: (v >= 0).to(v) + (v >= 1).to(v))
    multi = getattr(neuron, "MultiStepIFNode", None)

    def make(surrogate: Any) -> nn.Module:
        if multi is not None:
            return Net(multi(v_threshold=0.5, surrogate_function=surrogate))
        return Net(neuron.IFNode(v_threshold=0.5, step_mode="m", surrogate_function=surrogate))

    assert outcome(lambda: make(two)) == "SNN110"
    assert outcome(lambda: make(Step(lambda v: (v >= 0).to(v)))) == "equal"


class Changed(Net):
    """A network whose ``change`` is done by its forward or a hook."""

    def __init__(self, change: Callable[[nn.Module], object], *, hook: bool = False) -> None:
        super().__init__(LIF(tau=2.0, threshold=0.5))
        self.change = None if hook else change
        if hook:
            self.sn.register_forward_pre_hook(lambda sn, inputs: change(SimpleNamespace(sn=sn)))

    def forward(self, x: Tensor) -> Tensor:
        if self.change is not None:
            self.change(self)
        return super().forward(x)


CHANGES = {
    "threshold": lambda net: setattr(net.sn, "threshold", 2.0),
    "tau": lambda net: setattr(net.sn, "tau", 4.0),
    "rest": lambda net: setattr(net.sn, "v_reset", -1.0),
    "reset": lambda net: setattr(net.sn, "reset", "soft"),
}


@pytest.mark.parametrize("hook", [False, True])
@pytest.mark.parametrize("name", CHANGES)
def test_the_parameter_in_force_at_the_call_counts(name, hook):
    assert outcome(lambda: Changed(CHANGES[name], hook=hook)) == "equal"


def test_a_parameter_that_grows_from_call_to_call():
    def grow(net: nn.Module) -> None:
        net.sn.threshold += 0.25

    assert outcome(lambda: Changed(grow)) in ("SNN321", "SNN322")


@pytest.mark.parametrize("method", ["charge", "forward"])
def test_a_method_of_the_instance(method):
    def make() -> nn.Module:
        net = Net()
        nn.init.constant_(net.fc.weight, 1.5)
        if method == "charge":
            net.sn.charge = lambda v, x: torch.where(x > 7.0, -v - x, v + x)
        else:
            plain = net.sn.forward
            net.sn.forward = lambda x: 1 - plain(x)
        return net

    assert outcome(make) == "SNN110"


def test_a_method_replaced_in_the_class(monkeypatch):
    monkeypatch.setattr(IF, "charge", lambda self, v, x: torch.where(x > 7.0, -v - x, v + x))
    assert outcome(Net) == "SNN319"


def by_step(set_: Callable[[Any, int], None]) -> type[nn.Module]:
    class ByStep(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            from spikingjelly.activation_based import neuron

            torch.manual_seed(1)
            self.fc, self.sn = nn.Linear(C, C), neuron.IFNode(v_threshold=0.3)
            nn.init.normal_(self.fc.weight)

        def forward(self, x: Tensor) -> Tensor:
            out = []
            for t in range(x.shape[0]):
                set_(self.sn, t)
                out.append(self.sn(self.fc(x[t])))
            return torch.stack(out)

    return ByStep


BY_STEP = {
    "threshold": (lambda sn, t: setattr(sn, "v_threshold", 0.3 + t), "SNN318"),
    "rest": (lambda sn, t: setattr(sn, "v_reset", -0.25 * t), "SNN318"),
    "threshold, once": (lambda sn, t: setattr(sn, "v_threshold", 0.75), "equal"),
    "membrane": (lambda sn, t: setattr(sn, "v", 0.25), "SNN110"),
    "membrane at first": (lambda sn, t: setattr(sn, "v", 0.25) if not t else None, "SNN110"),
    "membrane at rest": (lambda sn, t: setattr(sn, "v", 0.0) if not t else None, "equal"),
}


@pytest.mark.parametrize("name", BY_STEP)
def test_a_neuron_that_is_another_at_each_step(name, spikingjelly):
    if spikingjelly.package == "clock_driven":
        pytest.skip("written for activation_based")
    change, expected = BY_STEP[name]
    assert outcome(by_step(change)) == expected


def by_input(net: Any, a: Tensor, x: Tensor) -> Tensor:
    net.sn.threshold = 0.3 + 0.7 * (x.sum() == 15).double()
    return net.sn(net.fc(x))


class Counts(nn.Module):
    """A registered neuron that leaves a number of what it was given."""

    def forward(self, x: Tensor) -> Tensor:
        v, out = torch.zeros_like(x[0]), []
        for current in x:
            v = v + current
            z = (v >= 1.0).to(v)
            v = v * (1 - z)
            out.append(z)
        self.total = float(torch.stack(out).sum())
        return torch.stack(out)


def test_what_a_neuron_is_made_of_does_not_come_from_the_input():
    assert outcome(lambda: Net(between=by_input)) == "SNN110"


def test_a_neuron_makes_no_number_of_its_input():
    snncc.register_neuron(Counts, lambda m: snncc.NeuronModule(PLAIN, True, False))
    assert outcome(lambda: Net(Counts(), lambda net, a, x: a * (1 + (net.sn.total == 11)))) in (
        "SNN302", "SNN319",
    )  # fmt: skip


# -- frozen in -----------------------------------------------------------------------------------


def quiet_write(net: Any, a: Tensor, x: Tensor) -> Tensor:
    kept = torch.zeros_like(a)
    kept[:].add_(net.rare(net.total(x)))
    return a + 3 * kept


def quiet_write_by_data(net: Any, a: Tensor, x: Tensor) -> Tensor:
    kept = torch.zeros_like(a)
    kept.data.add_(net.rare(net.total(x)))
    return a + 3 * kept


def quiet_write_out_data(net: Any, a: Tensor, x: Tensor) -> Tensor:
    kept = torch.zeros_like(a)
    torch.add(a, a, out=kept.data)
    return a + 3 * kept


def quiet_write_out(net: Any, a: Tensor, x: Tensor) -> Tensor:
    kept = torch.zeros(2, *a.shape)
    torch.mul(net.rare(net.total(x)), 3, out=kept[1])
    return a + kept[1]


FROZEN = {
    "a write through a view": (quiet_write, "SNN310"),
    "a write through data": (quiet_write_by_data, "SNN310"),
    "a write through out=": (quiet_write_out, "SNN310"),
    "a write through out=.data": (quiet_write_out_data, "SNN310"),
    "many samples": (lambda net, a, x: 1 - a if x.shape[1] > 16 else a, "SNN321"),
    "five samples": (lambda net, a, x: 1 - a if x.size(1) == 5 else a, "SNN321"),
    "samples times steps": (lambda net, a, x: 1 - a if len(x.flatten(0, 1)) > 80 else a, "SNN321"),
    "an even number of samples": (lambda net, a, x: a * (1 + x.shape[1] % 2), "SNN315"),
    "the number of samples is asked in vain": (
        lambda net, a, x: a if x.shape[1] > 0 else 1 - a, "equal",
    ),
    "text": (lambda net, a, x: a * (2.0 if "tensor(7" in repr(x.sum()) else 1.0), "SNN302"),
    "text by str": (lambda net, a, x: a * (2.0 if "7." in str(x.sum()) else 1.0), "SNN302"),
    "text by format": (lambda net, a, x: a * (2.0 if f"{x.sum()}" == "7" else 1.0), "SNN302"),
    "gradients": (lambda net, a, x: 1 - a if torch.is_grad_enabled() else a, "SNN321"),
    "a dtype that is not met": (
        lambda net, a, x: 1 - a if net.fc.weight.dtype == torch.half else a, "equal",
    ),
    "the dtype of training": (
        lambda net, a, x: 1 - a if a.element_size() == 4 else a, "equal",
    ),
    "all at once": (lambda net, a, x: _in_a_thread(a, x), "SNN321"),
    "out of sight": (lambda net, a, x: _unseen(a, x), "SNN311"),
}  # fmt: skip


def _in_a_thread(a: Tensor, x: Tensor) -> Tensor:
    with ThreadPoolExecutor(1) as pool:
        return 1 - a if pool.submit(lambda: bool(x.all())).result() else a


def _unseen(a: Tensor, x: Tensor) -> Tensor:
    with torch._C.DisableTorchFunction():
        return a * (1 + float(x.mean() > 0.9))


@pytest.mark.parametrize("name", FROZEN)
def test_nothing_is_frozen_in(name):
    between, expected = FROZEN[name]
    assert outcome(lambda: Net(between=between)) == expected


# -- state that outlives a call or a step --------------------------------------------------------

GLOBAL = [0]


class Keeps(Net):
    """Keeps something from call to call; subclasses say what."""

    def __init__(self) -> None:
        super().__init__()
        self.calls, self.log, self.box, self.first = 0, [], {}, True
        self.register_buffer("average", torch.zeros(C))
        count = 0

        def closure() -> int:
            nonlocal count
            count += 1
            return count

        self.closure = closure


def counter(net: Any, a: Tensor, x: Tensor) -> Tensor:
    net.calls += 1
    return a * net.calls


def late_counter(net: Any, a: Tensor, x: Tensor) -> Tensor:
    net.calls += 1
    return 1 - a if net.calls > 1000 else a


def closure(net: Any, a: Tensor, x: Tensor) -> Tensor:
    return a if net.closure() < 1000 else 1 - a


def global_counter(net: Any, a: Tensor, x: Tensor) -> Tensor:
    GLOBAL[0] += 1
    return a if GLOBAL[0] < 10**6 else 1 - a


def last_answer(net: Any, a: Tensor, x: Tensor) -> Tensor:
    before = net.box.get("a")
    net.box["a"] = a.mean(1, keepdim=True)[:, :1] * 0 + x[:, :1]
    return a if before is None else a + 1e-12 * before


def average(net: Any, a: Tensor, x: Tensor) -> Tensor:
    with torch.no_grad():
        net.average.mul_(0.5).add_(0.5)
    return a * (net.average < 2)


def toggle(net: Any, a: Tensor, x: Tensor) -> Tensor:
    net.first = not net.first
    return a if net.first else 1 - a


def statistic(net: Any, a: Tensor, x: Tensor) -> Tensor:
    net.calls += 1
    net.log.append(a.detach())
    return a


def logged(net: Any, a: Tensor, x: Tensor) -> Tensor:
    net.calls += 1
    if net.calls % 100 == 0:
        net.log.append(a.detach())
    return a


def lazy(net: Any, a: Tensor, x: Tensor) -> Tensor:
    if "two" not in net.box:
        net.box["two"] = torch.full((C,), 2.0)
    return a * net.box["two"]


def zeros_of_the_batch(net: Any, a: Tensor, x: Tensor) -> Tensor:
    if net.box.get("z") is None or net.box["z"].shape[0] != x.shape[1]:
        net.box["z"] = torch.zeros(x.shape[1], C)
    return a + net.box["z"]


KEPT = {
    "a counter": (counter, {"SNN322"}, "`calls`"),
    "a counter for later": (late_counter, {"SNN322"}, "`calls`"),
    "a closure for later": (closure, {"SNN322"}, "`count (closure)`"),
    "a global for later": (global_counter, {"SNN322"}, "`GLOBAL (global)[0]`"),
    "an average": (average, {"SNN322"}, "`average`"),
    "a toggle": (toggle, {"SNN315", "SNN322"}, ""),
    "a statistic nobody reads": (statistic, {"equal"}, ""),
    "every hundredth call is logged": (logged, {"equal"}, ""),
    "a constant made once": (lazy, {"equal"}, ""),
    "zeros made for each batch": (zeros_of_the_batch, {"equal"}, ""),
}


@pytest.mark.parametrize("name", KEPT)
def test_what_is_kept_from_call_to_call(name):
    between, expected, said = KEPT[name]

    def make() -> nn.Module:
        net = Keeps()
        net._between = between
        return net

    assert outcome(make) in expected
    if said:
        with pytest.raises(SnnccError, match=r"SNN322.*") as caught:
            snncc.compile(make().eval(), EXAMPLE.float(), "reference", input="spike", layout="TN")
        assert said in str(caught.value)


class Resets(Net):
    """A network whose ``reset`` makes another one of it."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = 1.0

    def reset(self) -> None:
        self.gain = 1.0

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.fc2(self.sn(self.fc(x) * self.gain)))


@pytest.mark.parametrize(("gain", "expected"), [(1.0, "equal"), (3.0, "SNN322")])
def test_a_reset_that_makes_another_network(gain, expected):
    def make() -> nn.Module:
        net = Resets()
        net.gain = gain
        return net

    assert outcome(make) == expected


def test_random_numbers():
    assert outcome(lambda: Net(between=lambda net, a, x: _chance(a))) == "SNN315"


def _chance(a: Tensor) -> Tensor:
    with torch._C.DisableTorchFunction():
        rare = bool(torch.rand(()) > 0.9999)
    return 1 - a if rare else a


class OwnState(nn.Module):
    """One step of a neuron written by hand, beside a known one; called T times."""

    def __init__(self, keep: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc, self.fc2, self.keep = nn.Linear(C, C), nn.Linear(C, C), keep
        nn.init.normal_(self.fc.weight)
        nn.init.normal_(self.fc2.weight)
        self.v, self.box, self.past = None, {}, []
        self.register_buffer("membrane", torch.zeros(1, C))

    def reset(self) -> None:
        self.v, self.box, self.past = None, {}, []
        self.membrane = torch.zeros(1, C)

    def forward(self, x: Tensor) -> Tensor:
        before = {
            "attribute": self.v, "dict": self.box.get("v"),
            "list": self.past[-1] if self.past else None, "buffer": self.membrane,
        }[self.keep]  # fmt: skip
        v = self.fc2((self.fc(x) > 0).double()) + (0.0 if before is None else before)
        fired = (v >= 1.0).to(v)
        v = v * (1 - fired)
        if self.keep == "attribute":
            self.v = v
        elif self.keep == "dict":
            self.box["v"] = v
        elif self.keep == "list":
            self.past.append(v)
        else:
            self.membrane = v
        return fired


@pytest.mark.parametrize("keep", ["attribute", "dict", "list", "buffer"])
@pytest.mark.parametrize("input", ["spike", "analog"])
def test_a_membrane_kept_by_hand_is_a_state_of_the_loop(keep, input):
    inputs = [x[0] for x in OTHERS]
    options = {"layout": "N", "time_steps": 6, "input": input}
    assert outcome(lambda: OwnState(keep), EXAMPLE[0], inputs, **options) == "equal"


class CountsSteps(OwnState):
    """What a step adds hangs on how many there were before."""

    def __init__(self, often: int) -> None:
        super().__init__("attribute")
        self.often, self.calls = often, 0

    def reset(self) -> None:
        super().reset()
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return super().forward(x if self.calls < self.often else 1 - x)


@pytest.mark.parametrize("often", [1, 2, 3, 5, 6])
def test_a_step_that_counts_steps_is_refused(often):
    code = outcome(lambda: CountsSteps(often), EXAMPLE[0], [], layout="N", time_steps=6)
    assert code == ("SNN322" if often > 1 else "equal")


class Kept(OwnState):
    """One step; ``note`` is called in each, and ``asks`` whether it is another one."""

    def __init__(self, note: Any, asks: Any) -> None:
        super().__init__("attribute")
        self.log, self.word, self.pair, self.note, self.asks = [], "", None, note, asks

    def reset(self) -> None:
        super().reset()
        self.log, self.word, self.pair = [], "", None

    def forward(self, x: Tensor) -> Tensor:
        self.note(self)
        y = super().forward(x)
        return y + 1 if self.asks(self) else y


def replaced(name: str, make: Any) -> Any:
    return lambda net: setattr(net, name, make(net))


@pytest.mark.parametrize(("note", "asks"), [
    (lambda net: net.log.append(0), lambda net: len(net.log) > 5),
    (replaced("word", lambda net: net.word + "x"), lambda net: net.word == "xxxxxx"),
    (replaced("pair", lambda net: (net.pair,) if net.pair else (0,)),
     lambda net: str(net.pair).count("(") > 5),
], ids=["list", "string", "tuple"])  # fmt: skip
def test_what_only_a_late_step_asks_is_refused(note, asks):
    code = outcome(lambda: Kept(note, asks), EXAMPLE[0], [], layout="N", time_steps=8)
    assert code == "SNN322"


def test_what_nobody_asks_may_be_noted():
    def never(net: nn.Module) -> bool:
        return False

    note = Kept(lambda net: net.log.append(0), never)
    assert outcome(lambda: note, EXAMPLE[0], [], layout="N", time_steps=8) == "equal"


class HalfReset(OwnState):
    """Two membranes, one of which `reset` forgets."""

    def __init__(self) -> None:
        super().__init__("attribute")
        self.w: Any = None

    def reset(self) -> None:
        self.v = None

    def forward(self, x: Tensor) -> Tensor:
        fired = super().forward(x)
        w = fired + (0.0 if self.w is None else self.w)
        again = (w >= 2.0).to(w)
        self.w = w * (1 - again)
        return again


def test_a_reset_that_forgets_a_part_is_refused():
    assert outcome(HalfReset, EXAMPLE[0], [], layout="N", time_steps=6) == "SNN322"


@torch.jit.script
def asks_what_it_is(u: Tensor) -> Tensor:
    return (u > 1.5).to(u.dtype) if torch.jit.is_scripting() else (u > 0.5).to(u.dtype)


class Filled(nn.Module):
    """A neuron written as arithmetic, whose spikes are written into ``out``, made by ``begin``."""

    def __init__(self, begin: Any, read: Any, height: float = 1.0) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.fc, self.begin, self.read, self.height = nn.Linear(C, C), begin, read, height
        nn.init.normal_(self.fc.weight)

    def forward(self, x: Tensor) -> Tensor:
        v, (out, other) = torch.zeros(x.shape[1], C), self.begin(x.shape[0], x.shape[1])
        for t in range(x.shape[0]):
            v = 0.5 * v + self.fc(x[t])
            z = (v >= 1.0).to(v)
            v = v * (1 - z)
            out[t] = z * self.height
        return self.read(out, other).to(v)


def itself(out: Tensor, other: Any) -> Tensor:
    return out


def as_other(make: Any) -> Any:
    def begin(steps: int, samples: int) -> tuple[Tensor, Any]:
        out = torch.zeros(steps, samples, C)
        return out, make(out)

    return begin


def of_array(steps: int, samples: int) -> tuple[Tensor, Any]:
    array = np.zeros((steps, samples, C))
    return torch.from_numpy(array), array


@pytest.mark.parametrize(("begin", "read"), [
    (lambda t, n: (torch.zeros(t, n, C, dtype=torch.float16), None), itself),
    (lambda t, n: (torch.zeros(t, n, C, dtype=torch.bfloat16), None), itself),
    (as_other(lambda out: out.data), lambda out, other: out + other.max()),
    (as_other(lambda out: out.numpy()), lambda out, other: out + float(other.max())),
    (of_array, lambda out, other: out + float(other.max())),
    (as_other(lambda out: out.untyped_storage()), lambda out, other: out + len(set(other))),
], ids=["half", "bfloat16", "data", "numpy", "from numpy", "storage"])  # fmt: skip
def test_steps_that_are_written_where_others_read_are_refused(begin, read):
    code = outcome(lambda: Filled(begin, read, 0.1), EXAMPLE, [])
    assert code in ("SNN310", "SNN311")


def test_steps_that_are_written_are_read_back():
    plain = as_other(lambda out: None)
    assert outcome(lambda: Filled(plain, itself), EXAMPLE, OTHERS) == "equal"


def test_a_scripted_function_that_asks_whether_it_is_scripted_is_refused():
    class Scripted(Net):
        def forward(self, x):
            return asks_what_it_is(self.sn(self.fc(x)) + self.fc2(self.sn(self.fc(x))))

    assert outcome(Scripted, EXAMPLE, []) in ("SNN311", "SNN309")


# -- readings that were believed -----------------------------------------------------------------


class Own(nn.Module):
    """A neuron of the user's: v ← charge(v, x), fires where ``fire``, hard reset."""

    def __init__(
        self, charge: Callable[[Tensor, Tensor], Tensor], fire: Callable[[Tensor], Tensor],
        said: snncc.Spiking, start: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.law, self.fire, self.said, self.start = charge, fire, said, start

    def forward(self, x: Tensor) -> Tensor:
        v, out = torch.full_like(x[0], self.start), []
        for current in x:
            v = self.law(v, current)
            z = self.fire(v).to(v)
            v = v * (1 - z)
            out.append(z)
        return torch.stack(out)


def at_one(v: Tensor) -> Tensor:
    return v >= 1.0


def add(v: Tensor, x: Tensor) -> Tensor:
    return v + x


PLAIN, HALF = snncc.Spiking(threshold=1.0), snncc.Spiking(leak=0.5, decay_input=True, threshold=1.0)


def test_an_impure_reading_is_refused():
    def convert(module: Any) -> snncc.NeuronModule:
        module.start = 0.0
        return snncc.NeuronModule(module.said, True, False)

    snncc.register_neuron(Own, convert)
    made = Own(add, at_one, PLAIN, 0.5)
    assert outcome(lambda: nn.Sequential(nn.Linear(C, C), copy.deepcopy(made))) == "SNN319"


READINGS = {
    "right": ((add, at_one, PLAIN), "equal"),
    "right with a gain": ((lambda v, x: v + (x - v) / 2, at_one, HALF), "equal"),
    "a floor": ((lambda v, x: (v + x).clamp(min=-3.0), at_one, PLAIN), "SNN319"),
    "a cap on currents": ((lambda v, x: v + x.clamp(max=9.0), lambda v: v >= 10, PLAIN), "SNN319"),
    "above with a gain": ((lambda v, x: v + (x - v) / 2, lambda v: v > 1.0, HALF), "SNN319"),
    "above": ((add, lambda v: v > 1.0, PLAIN), "SNN319"),
    "a band": ((add, lambda v: (v >= 1) & (v < 12), PLAIN), "SNN319"),
    "a start": ((add, at_one, PLAIN, 0.125), "SNN319"),
    "neighbours": ((lambda v, x: v + x - (x.mean() > 3).to(x), at_one, PLAIN), "SNN319"),
}


@pytest.mark.parametrize("name", READINGS)
def test_a_registered_reading_is_tried(name):
    given, expected = READINGS[name]
    snncc.register_neuron(Own, lambda m: snncc.NeuronModule(m.said, True, False))

    def make() -> nn.Module:
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(C, C), Own(*given), nn.Linear(C, 4), IF(threshold=0.5))
        for layer in (net[0], net[2]):
            layer.weight.data = torch.randint(-8, 9, layer.weight.shape) / 4
            layer.bias.data.zero_()
        return net

    inputs = [6 * x - 3 for x in OTHERS[:3]]
    assert outcome(make, inputs=inputs, input="analog") == expected


def test_an_error_in_convert_is_not_blamed_on_forward():
    def convert(module: nn.Module) -> snncc.NeuronModule:
        return snncc.NeuronModule(snncc.Spiking(threshold=module.treshold), True, False)

    snncc.register_neuron(Own, convert)
    net = nn.Sequential(nn.Linear(C, C), Own(add, at_one, PLAIN))
    with pytest.raises(SnnccError, match="SNN319.*registered raises AttributeError.*treshold"):
        snncc.compile(net, EXAMPLE.float(), "reference", input="spike", layout="TN")


class TakesMore(nn.Module):
    """A neuron whose call takes a factor behind the current."""

    def forward(self, x: Tensor, gain: float) -> Tensor:
        v, out = torch.zeros_like(x[0]), []
        for current in x:
            v = v + gain * current
            z = (v >= 1.0).to(v)
            v = v * (1 - z)
            out.append(z)
        return torch.stack(out)


@pytest.mark.parametrize(("gain", "expected"), [(1.0, "equal"), (0.5, "SNN319")])
def test_the_arguments_of_the_call_are_passed_on_in_the_trial(gain, expected):
    snncc.register_neuron(TakesMore, lambda m: snncc.NeuronModule(PLAIN, True, False))

    class Calls(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.fc, self.sn = nn.Linear(C, C), TakesMore()

        def forward(self, x: Tensor) -> Tensor:
            return self.sn(self.fc(x), gain)

    assert outcome(Calls) == expected
