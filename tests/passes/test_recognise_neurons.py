"""Neurons that are written as arithmetic: what they are read as, and that it is what they do."""

from __future__ import annotations

import copy
import inspect
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import snncc
from snncc.diagnostics import SnnccError
from snncc.ir.interpreter import run_graph
from snncc.ir.ops import Spiking

STEPS = 6


class Fire(torch.autograd.Function):
    """The step as research code writes it."""

    @staticmethod
    def forward(ctx, u):
        ctx.save_for_backward(u)
        return (u >= 0).to(u.dtype)

    @staticmethod
    def backward(ctx, grad):
        return grad


def at_or_above(u):
    return (u >= 0).to(u.dtype)


def above(u):
    return (u > 0).to(u.dtype)


def masked(u):
    out = torch.zeros_like(u)
    out[u > 0] = 1.0
    return out


def chosen(u):
    return torch.where(u >= 0, torch.ones_like(u), torch.zeros_like(u))


def apart_at_zero(u):
    """How ONNX writes heaviside; the value at 0 is a choice of its own."""
    zero, one = torch.zeros_like(u), torch.ones_like(u)
    return torch.where(u == 0, one, torch.where(u < 0, zero, one))


def apart_below_zero(u):
    zero, one = torch.zeros_like(u), torch.ones_like(u)
    return torch.where(u == 0, zero, torch.where(u < 0, zero, one))


FIRES = {
    "autograd": Fire.apply, "ge": at_or_above, "gt": above, "mask": masked, "where": chosen,
    "lt": lambda u: (u > 0).to(u.dtype),
    "apart at zero": apart_at_zero, "apart below zero": apart_below_zero,
    "heaviside": lambda u: torch.heaviside(u, torch.zeros((), dtype=u.dtype)),
}  # fmt: skip


class Loop(nn.Module):
    """``update(v, s, x, keep, fire)`` of membrane, last spike and current, in forward's loop."""

    def __init__(self, update, fire="ge", start=0.0, spike=0.0, hidden=5):
        super().__init__()
        self.update, self.fire, self.start, self.spike = update, FIRES[fire], start, spike
        self.a, self.b = nn.Linear(8, hidden), nn.Linear(hidden, 3)
        self.leak = nn.Parameter(torch.linspace(-1, 2, hidden))
        self.theta = nn.Parameter(torch.linspace(0.5, 1.5, hidden))

    def forward(self, x):
        v = torch.full((x.shape[1], self.a.out_features), self.start)
        s = torch.full_like(v, self.spike)
        out = []
        for t in range(x.shape[0]):
            v, s = self.update(self, v, s, self.a(x[t]))
            out.append(self.b(s))
        return torch.stack(out).mean(0)


def hard(m, v, s, x):
    v = 0.75 * v + x
    s = m.fire(v - 1)
    return v * (1 - s), s


def hard_by_choice(m, v, s, x):
    v = 0.75 * v + x
    s = m.fire(v - 1)
    return torch.where(s > 0, torch.zeros_like(v), v), s


def hard_to_a_value(m, v, s, x):
    v = v - (v + 0.25) * 0.5 + x
    s = m.fire(v - 1)
    return v * (1 - s) - 0.25 * s, s


def stbp(m, v, s, x):
    v = 0.75 * v * (1 - s) + x
    return v, m.fire(v - 1)


def soft(m, v, s, x):
    v = 0.75 * v + x
    s = m.fire(v - 1)
    return v - s, s


def soft_by_the_spike_before(m, v, s, x):
    v = 0.75 * (v - s) + x
    return v, m.fire(v - 1)


def late_soft(m, v, s, x):
    v = 0.75 * v + x - s
    return v, m.fire(v - 1)


def late_hard(m, v, s, x):
    v = (0.75 * v + x) * (1 - s)
    return v, m.fire(v - 1)


def no_reset(m, v, s, x):
    v = 0.75 * v + x
    return v, m.fire(v - 1)


def time_constant(m, v, s, x):
    v = v + (x - v) / 3
    s = m.fire(v - 0.5)
    return v * (1 - s), s


def integrating(m, v, s, x):
    v = v + x
    s = m.fire(v / 1.5 - 1)
    return v - 1.5 * s, s


def learnt(m, v, s, x):
    v = torch.sigmoid(m.leak) * v + x
    s = m.fire(v - m.theta)
    return v - m.theta * s, s


def gained(m, v, s, x):
    v = 0.5 * v + 0.25 * x
    s = m.fire(v - 0.3)
    return v * (1 - s), s


def biased(m, v, s, x):
    v = v + x + 0.125
    s = m.fire(v - 1)
    return v * (1 - s), s


def part(m, v, s, x):
    v = 0.75 * v + x
    s = m.fire(v - 1)
    return v * (1 - 0.75 * s), s


def late_part(m, v, s, x):
    v = (0.75 * v + x) * (1 - 0.5 * s)
    return v, m.fire(v - 1)


def part_by_the_spike_before(m, v, s, x):
    v = 0.5 * v * (1 - 0.5 * s) + x
    return v, m.fire(v - 1)


def part_and_a_value(m, v, s, x):
    v = 0.75 * v + x
    s = m.fire(v - 1)
    return torch.where(s > 0, 0.25 * v - 0.5, v), s


def learnt_part(m, v, s, x):
    v = 0.75 * v + x
    s = m.fire(v - 1)
    return v * (1 - torch.sigmoid(m.leak) * s), s


READ = {
    hard: {"decay": 0.75, "threshold": 1.0, "reset": "hard", "when": "now"},
    hard_by_choice: {"decay": 0.75, "threshold": 1.0, "reset": "hard", "when": "now"},
    hard_to_a_value: {"decay": 0.5, "reset": "hard"},
    stbp: {"decay": 0.75, "threshold": 1.0, "reset": "hard", "when": "now"},
    soft: {"decay": 0.75, "threshold": 1.0, "reset": "soft", "when": "now"},
    soft_by_the_spike_before: {"decay": 0.75, "threshold": 1.0, "reset": "soft", "when": "now"},
    late_soft: {"decay": 0.75, "threshold": 1.0, "reset": "soft", "when": "next"},
    late_hard: {"decay": 0.75, "threshold": 1.0, "reset": "hard", "when": "next"},
    no_reset: {"decay": 0.75, "threshold": 1.0, "reset": "none"},
    time_constant: {"decay": 2 / 3, "threshold": 1.5, "reset": "hard"},
    integrating: {"decay": 1.0, "threshold": 1.5, "reset": "soft"},
    learnt: {"reset": "soft"},
    gained: {"decay": 0.5, "threshold": 0.3, "reset": "hard"},
    biased: {"decay": 1.0, "threshold": 1.0, "reset": "hard"},
    part: {"decay": 0.75, "threshold": 1.0, "reset": "hard", "keep": 0.25, "when": "now"},
    late_part: {"threshold": 1.0, "reset": "hard", "keep": 0.5, "when": "next"},
    part_by_the_spike_before: {"reset": "hard", "keep": 0.5, "when": "now"},
    part_and_a_value: {"reset": "hard", "keep": 0.25, "when": "now"},
    learnt_part: {"threshold": 1.0, "reset": "hard", "when": "now"},
}  # fmt: skip


def compiled(module, **options):
    options = {"input": "spike", "layout": "TN", **options}
    return snncc.compile(module.eval(), events(3), "reference", **options)


def events(samples, seed=0, rate=0.5):
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(STEPS, samples, 8, generator=generator) < rate).float()


def agrees(module, program):
    """Spike for spike on new inputs, and of other numbers of samples."""
    for seed, (samples, rate) in enumerate([(7, 0.3), (1, 0.6), (16, 0.9), (2, 0.0)], 1):
        compared = snncc.compare(module, program, events(samples, seed, rate))
        assert compared.equal
        assert compared.compared == STEPS * samples * 5


@pytest.mark.parametrize("update", READ, ids=lambda update: update.__name__)
def test_an_equation_is_the_neuron_it_computes(update):
    torch.manual_seed(1)
    module = Loop(update)
    program = compiled(module)
    (neuron,) = program.graph.neurons
    assert isinstance(neuron.op, Spiking)
    for name, value in READ[update].items():
        found = getattr(neuron.op, name)
        wanted = pytest.approx(value, 1e-6) if isinstance(value, float) else value
        assert found == wanted, name
    agrees(module, program)


@pytest.mark.slow
@pytest.mark.parametrize("fire", FIRES)
def test_a_step_is_one_however_it_is_written(fire):
    torch.manual_seed(1)
    module = Loop(soft, fire)
    program = compiled(module)
    (neuron,) = program.graph.neurons
    above = ("gt", "mask", "lt", "heaviside", "apart below zero")
    assert neuron.op.strict == (fire in above)
    agrees(module, program)


@pytest.mark.slow
@pytest.mark.parametrize("update", [hard, soft, stbp, no_reset, biased, part])
@pytest.mark.parametrize("start", [0.5, -1.0, 3.0])
def test_a_membrane_begins_where_it_begins(update, start):
    torch.manual_seed(1)
    module = Loop(update, start=start)
    agrees(module, compiled(module))


def current_and_membrane(x, a, b, fire):
    i = v = torch.zeros(x.shape[1], 5)
    out = []
    for t in range(x.shape[0]):
        i = 0.5 * i + a(x[t])
        v = 0.75 * v + i
        s = fire(v - 1)
        v = v * (1 - s)
        out.append(b(s))
    return torch.stack(out).mean(0)


def two_layers(x, a, b, fire):
    v = torch.zeros(x.shape[1], 5)
    w = torch.zeros(x.shape[1], 3)
    out = torch.zeros(x.shape[0], x.shape[1], 3)
    for t in range(x.shape[0]):
        v = 0.5 * v + a(x[t])
        s = fire(v - 1)
        v = v - s
        w = 0.75 * w + b(s)
        z = fire(w - 0.25)
        w = w * (1 - z)
        out[t] = z
    return out.mean(0)


def time_last(x, a, b, fire):
    v = torch.zeros(x.shape[1], 5)
    out = torch.zeros(x.shape[1], 3, x.shape[0])
    for t in range(x.shape[0]):
        v = 0.5 * v + a(x[t])
        s = fire(v - 1)
        v = v - s
        out[..., t] = b(s)
    return out.mean(-1)


class Whole(nn.Module):
    def __init__(self, run):
        super().__init__()
        self.a, self.b, self.run = nn.Linear(8, 5), nn.Linear(5, 3), run

    def forward(self, x):
        return self.run(x, self.a, self.b, at_or_above)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("run", "neurons"), [(current_and_membrane, 5), (two_layers, 8), (time_last, 5)]
)
def test_loops_of_other_forms(run, neurons):
    torch.manual_seed(2)
    module = Whole(run)
    program = compiled(module)
    compared = snncc.compare(module, program, events(9, 3, 0.7))
    assert compared.equal
    assert compared.compared == STEPS * 9 * neurons


def current_begun(x, a, b, fire):
    i, v = torch.full((x.shape[1], 5), -1.5), torch.full((x.shape[1], 5), 0.25)
    out = []
    for t in range(x.shape[0]):
        i = 0.5 * i + a(x[t]) + 0.125
        v = 0.75 * v + i + 0.25
        s = fire(v - 1)
        v = v - s
        out.append(b(s))
    return torch.stack(out).mean(0)


def current_and_its_input(x, a, b, fire):
    i = v = torch.zeros(x.shape[1], 5)
    out = []
    for t in range(x.shape[0]):
        y = a(x[t])
        v = 0.75 * v + i + 0.5 * y
        i = 0.5 * i + y
        s = fire(v - 1)
        v = v * (1 - s)
        out.append(b(s))
    return torch.stack(out).mean(0)


def two_thresholds(x, a, b, fire):
    """Each spike lowers the membrane of both: two neurons that inhibit each other."""
    v = torch.zeros(x.shape[1], 5)
    out = []
    for t in range(x.shape[0]):
        v = 0.75 * v + a(x[t])
        s, z = fire(v - 1), fire(v - 2)
        v = v - s - z
        out.append(b(s + z))
    return torch.stack(out).mean(0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("run", "neurons"), [(current_begun, 5), (current_and_its_input, 5), (two_thresholds, 10)]
)
def test_currents_and_neurons_that_meet_in_one_membrane(run, neurons):
    test_loops_of_other_forms(run, neurons)


# -- what has no exact form -----------------------------------------------------------------------


def floored(m, v, s, x):
    v = (0.75 * v + x).clamp(min=-0.5)  # <- here
    s = m.fire(v - 1)
    return v - s, s


def floored_by_maximum(m, v, s, x):
    v = torch.maximum(0.75 * v + x, torch.tensor(-0.5))  # <- here
    s = m.fire(v - 1)
    return v * (1 - s), s


def floored_at_zero(m, v, s, x):
    v = torch.relu(0.75 * v + x)  # <- here
    return v, m.fire(v - 1)


def floored_behind(m, v, s, x):
    v = 0.75 * v + x
    s = m.fire(v - 1)
    return (v - s).clamp(min=-0.5), s  # <- here


def ceiled(m, v, s, x):
    v = (0.75 * v + x).clamp(max=2)  # <- here
    s = m.fire(v - 1)
    return v - s, s


def held(m, v, s, x):
    v = (0.75 * v + x).clamp(-1, 2)  # <- here
    s = m.fire(v - 1)
    return v - s, s


def chosen_floor(m, v, s, x):
    v = 0.75 * v + x
    v = torch.where(v < -1, torch.full_like(v, -1.0), v)
    s = m.fire(v - 1)
    return v - s, s


def squashed(m, v, s, x):
    v = torch.tanh(0.75 * v + x)  # <- here
    s = m.fire(v - 0.5)
    return v - s, s


def ternary(m, v, s, x):
    v = 0.75 * v + x
    s = at_or_above(v.abs() - 1) * v.sign()  # <- here
    return v - s, s


def quadratic(m, v, s, x):
    v = v + 0.1 * v * v + x  # <- here
    s = m.fire(v - 1)
    return v * (1 - s), s


def gated(m, v, s, x):
    v = torch.sigmoid(x) * v + x  # <- here
    s = m.fire(v - 1)
    return v * (1 - s), s


def gated_by_the_spike(m, v, s, x):
    v = 0.75 * v + x * (1 - s)
    s = m.fire(v - 1)
    return v - s, s


def several_spikes(m, v, s, x):
    v = 0.75 * v + x
    s = torch.floor(v).clamp(min=0)  # <- here
    return v - s, s


def adaptive_by_the_spike(m, v, s, x):
    a = s * 0.5 + 0.5
    v = 0.75 * v + x
    s = m.fire(v - a)
    return v * (1 - s), s


REFUSED = {
    floored: "the membrane has a floor: `maximum` is maximum(mul.before + a, −0.5)",
    floored_by_maximum: "the membrane has a floor: `maximum` is maximum(",
    floored_at_zero: "the membrane has a floor: `relu` is relu(mul.before + a)",
    floored_behind: "the membrane has a floor: `maximum` is maximum(mul.before + a − 1·ge, −0.5)",
    ceiled: "the membrane has a ceiling: `minimum` is minimum(mul.before + a, 2)",
    held: "the membrane has a floor and a ceiling: `clamp` is clamp(mul.before + a, −1, 2)",
    chosen_floor: "another comparison, `lt`, which asks whether",
    squashed: "`tanh` of the membrane: `tanh` is tanh(mul.before + a)",
    ternary: "`abs` of the membrane: `abs` is abs(",
    quadratic: "real values are multiplied or divided: `mul:3` is mul(",
    gated: "real values are multiplied or divided: `mul` is mul(sigmoid, mul:2.before)",
    gated_by_the_spike: "a spike leaves other parts of the membrane and of the next input",
    several_spikes: "several spikes in a step: `floor` is floor(mul.before + a)",
    adaptive_by_the_spike: "what is compared hangs on the spike of the step before, and",
}  # fmt: skip


def refused(module):
    with pytest.raises(SnnccError) as caught:
        compiled(module)
    (finding,) = caught.value.findings
    assert finding.code == "SNN115"
    return finding


@pytest.mark.parametrize("update", REFUSED, ids=lambda update: update.__name__)
def test_what_has_no_exact_form_is_refused_with_its_equation_and_its_line(update):
    finding = refused(Loop(update))
    assert finding.message.startswith(REFUSED[update])
    assert update is several_spikes or re.search(
        r"; `\S+` asks whether .* [≥>] 0$", finding.message
    )
    lines, first = inspect.getsourcelines(update)
    marked = [first + i for i, line in enumerate(lines) if "<- here" in line]
    if marked:
        assert finding.location.line == marked[0]
        assert finding.help
    if "has a floor" in REFUSED[update]:
        assert "has no bound" in finding.help


def adaptive(x, a, b, fire):
    v = w = torch.zeros(x.shape[1], 5)
    out = []
    for t in range(x.shape[0]):
        v = 0.75 * v + a(x[t])
        s = fire(v - (1 + 0.25 * w))
        w = 0.75 * w + s
        v = v * (1 - s)
        out.append(b(s))
    return torch.stack(out).mean(0)


def refractory(x, a, b, fire):
    v = rest = torch.zeros(x.shape[1], 5)
    out = []
    for t in range(x.shape[0]):
        v = 0.75 * v + a(x[t])
        s = fire(v - 1) * (rest <= 0).to(v.dtype)
        rest = torch.where(s > 0, torch.full_like(rest, 2.0), torch.clamp(rest - 1, min=0))
        v = v * (1 - s)
        out.append(b(s))
    return torch.stack(out).mean(0)


def refractory_input(x, a, b, fire):
    v = rest = torch.zeros(x.shape[1], 5)
    out = []
    for t in range(x.shape[0]):
        v = 0.75 * v + a(x[t]) * (rest <= 0).to(v.dtype)
        s = fire(v - 1)
        rest = rest - 1 + 3 * s
        v = v * (1 - s)
        out.append(b(s))
    return torch.stack(out).mean(0)


def two_currents(x, a, b, fire):
    i = j = v = torch.zeros(x.shape[1], 5)
    out = []
    for t in range(x.shape[0]):
        i = 0.5 * i + a(x[t])
        j = 0.25 * j + i
        v = 0.75 * v + j
        s = fire(v - 1)
        v = v - s
        out.append(b(s))
    return torch.stack(out).mean(0)


@pytest.mark.parametrize(
    ("run", "why"),
    [
        (adaptive, "two memories in one comparison, as of a threshold that adapts: `"),
        (refractory, "another comparison, `le` of the step before, which asks whether "),
        (refractory_input, "another comparison, `le` of the step before, which asks whether "),
        (two_currents, "several synaptic currents, `"),
    ],
)
def test_a_second_memory_is_refused_once(run, why):
    finding = refused(Whole(run))
    assert finding.message.startswith(why)
    assert "; `ge` asks whether " in finding.message


def noisy(m, v, s, x):
    v = 0.75 * v + x + torch.randn_like(v)
    s = m.fire(v - 1)
    return v * (1 - s), s


class Parallel(nn.Module):
    """A parallel neuron: its membrane is a sum over all steps."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(8, 5), nn.Linear(5, 3)
        self.over_time = nn.Parameter(torch.rand(STEPS, STEPS))

    def forward(self, x):
        h = (self.over_time @ self.a(x).flatten(1)).view(*x.shape[:2], 5)
        return self.b(at_or_above(h - 1)).mean(0)


@pytest.mark.parametrize(
    ("module", "why"),
    [(Loop(noisy), "differs from step to step"), (Parallel(), "joined with time")],
)
def test_what_is_no_step_after_step_is_refused_by_the_recording(module, why):
    with pytest.raises(SnnccError, match=why) as caught:
        compiled(module)
    assert [f.code for f in caught.value.findings] == ["SNN112"]


def without_a_spike(m, v, s, x):
    v = torch.tanh(0.75 * v + x)
    return v, v


def test_a_circle_without_a_comparison_names_the_function_in_it():
    with pytest.raises(
        SnnccError, match="SNN112.*without a neuron between; `tanh` of the membrane"
    ):
        compiled(Loop(without_a_spike))


# -- membranes that are shown ---------------------------------------------------------------------


class Shown(nn.Module):
    """Spikes, membranes before and after the reset, and the current, of each step."""

    def __init__(self, reset, rest=0.0, start=0.0):
        super().__init__()
        self.a, self.b = nn.Linear(8, 5), nn.Linear(5, 3)
        self.reset, self.rest, self.start = reset, rest, start

    def forward(self, x):
        i = torch.zeros(x.shape[1], 5)
        v = torch.full_like(i, self.start)
        out, before, after, currents = [], [], [], []
        for t in range(x.shape[0]):
            i = 0.5 * i + self.a(x[t])
            v = v - 0.25 * (v - self.rest) + 0.5 * i
            before.append(v)
            s = at_or_above(v - 0.75)
            v = {"hard": v * (1 - s) + self.rest * s, "soft": v - 0.75 * s, "none": v,
                 "part": v * (1 - 0.5 * s)}[self.reset]  # fmt: skip
            after.append(v)
            currents.append(i)
            out.append(self.b(s))
        return tuple(torch.stack(each) for each in (out, before, after, currents))


@pytest.mark.slow
@pytest.mark.parametrize("reset", ["hard", "soft", "none", "part"])
@pytest.mark.parametrize(("rest", "start"), [(0.0, 0.0), (0.25, 0.5)])
def test_membranes_are_shown_as_the_user_counts_them(reset, rest, start):
    torch.manual_seed(1)
    module = Shown(reset, rest, start)
    program = compiled(module)
    x = events(4, 1)
    graph = program.graph
    (name,) = graph.inputs
    values = run_graph(graph, {name.name: x.double()})
    for wanted, head in zip(copy.deepcopy(module).double()(x.double()), graph.heads, strict=True):
        torch.testing.assert_close(values[graph.heads[head]], wanted)
    assert snncc.compare(module, program, x).equal


class Names(nn.Module):
    """Modules and parameters with names as ours for what is new in the Graph."""

    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.decay = nn.Parameter(torch.linspace(-1, 1, 5))
            self.threshold = nn.Parameter(torch.linspace(0.5, 1.5, 5))
            self.bias, self.gain, self.membrane = (nn.Linear(5, 5) for _ in range(3))

        def forward(self, v, x):
            v = torch.sigmoid(self.decay) * v + 0.5 * self.gain(x) + 0.25 * self.bias(x)
            s = at_or_above(v - self.threshold * 0.5)
            return v - torch.relu(self.decay) * s, s, self.membrane(s)

    def __init__(self):
        super().__init__()
        self.a, self.b, self.lif = nn.Linear(8, 5), nn.Linear(5, 3), Names.Own()

    def forward(self, x):
        v, out, shown = torch.zeros(x.shape[1], 5), [], []
        for t in range(x.shape[0]):
            v, _, more = self.lif(v, self.a(x[t]))
            out.append(self.b(more))
            shown.append(v)
        return torch.stack(out).mean(0), torch.stack(shown)


def test_what_is_new_takes_no_name_that_is_there():
    torch.manual_seed(1)
    module = Names()
    agrees(module, compiled(module))


def test_a_network_that_ends_in_a_membrane_is_told_so():
    with pytest.raises(SnnccError) as caught:
        compiled(Shown("hard"), head="1")
    assert "SNN114" in [finding.code for finding in caught.value.findings]


class TwoBeginnings(nn.Module):
    """The spike before the first is 0 for one term and 1 for another."""

    def __init__(self):
        super().__init__()
        self.a = nn.Linear(8, 5)

    def forward(self, x):
        v = torch.zeros(x.shape[1], 5)
        s, z = torch.zeros_like(v), torch.ones_like(v)
        out = []
        for t in range(x.shape[0]):
            v = 0.5 * v + self.a(x[t]) - 0.25 * s - 0.25 * z
            fired = at_or_above(v - 1)
            s, z = fired, fired * 1.0
            out.append(fired)
        return torch.stack(out).mean(0)


def test_beginnings_that_contradict_each_other_are_no_neuron():
    torch.manual_seed(1)
    module = TwoBeginnings()
    try:
        program = compiled(module)
    except SnnccError as error:
        if {f.code for f in error.findings} <= {"SNN115", "SNN112", "SNN318"}:
            return
        raise
    compared = snncc.compare(module, program, events(9, 2, 0.7))
    assert compared.equal
    assert compared.compared == STEPS * 9 * 5


DECAYS, GAINS, THETAS = [0.5, 0.75, 0.9, 1.0], [1.0, 0.25, 2.0, 1 / 3], [0.25, 0.5, 1.0, 1.3]


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(st.data())
def test_random_updates_are_what_they_compute_or_are_refused(data):
    draw = data.draw
    decay, gain = draw(st.sampled_from(DECAYS)), draw(st.sampled_from(GAINS))
    theta, bias = draw(st.sampled_from(THETAS)), draw(st.sampled_from([0.0, 0.0, 0.25, -0.1]))
    amount = draw(st.sampled_from([theta, theta, 0.5]))
    rest = draw(st.sampled_from([0.0, 0.0, -0.5, 0.2]))
    resets = {
        "hard": lambda v, s: v * (1 - s) + rest * s,
        "soft": lambda v, s: v - amount * s,
        "none": lambda v, s: v,
        "part": lambda v, s: v * (1 - 0.5 * s),
    }
    reset = resets[draw(st.sampled_from(list(resets)))]
    first = draw(st.booleans())

    def update(m, v, s, x):
        if first:
            v = decay * reset(v, s) + gain * x + bias
            return v, m.fire(v - theta)
        v = decay * v + gain * x + bias
        s = m.fire(v - theta)
        return reset(v, s), s

    torch.manual_seed(draw(st.integers(0, 9)))
    start = draw(st.sampled_from([0.0, 0.0, 0.3, 2.0]))
    spike = draw(st.sampled_from([0.0, 0.0, 1.0]))
    module = Loop(update, draw(st.sampled_from(["ge", "gt", "mask"])), start, spike)
    try:
        program = compiled(module)
    except SnnccError as error:
        if {f.code for f in error.findings} <= {"SNN115", "SNN112", "SNN110", "SNN214"}:
            return
        raise
    agrees(module, program)
