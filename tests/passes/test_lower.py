"""lower: rules 1 to 6, graphs as torch modules write them against the network they become."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from snncc.frontends.torch import arrange, observe, trace
from snncc.ir.interpreter import run_network
from snncc.ir.ops import Conv
from snncc.ir.text import parse_graph
from snncc.nn import IF, LIF, PLIF
from snncc.passes.lower import Lower


class Net(nn.Module):
    """Two spike streams a and b of shape (T, N, 4, 8, 8), then ``body``, then a neuron."""

    def __init__(self, body, neuron=IF, channels=4):
        super().__init__()
        torch.manual_seed(0)
        self.one, self.two = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(2, 4, 3, padding=1)
        self.sn1, self.sn2, self.last = IF(), IF(), neuron()
        self.norm, self.conv = nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3, padding=1)
        self.other = nn.BatchNorm2d(4)
        for norm in (self.norm, self.other):
            nn.init.uniform_(norm.weight, -1.5, 1.5)
            nn.init.uniform_(norm.bias, 0.0, 0.5)
            nn.init.uniform_(norm.running_mean, -0.3, 0.3)
            nn.init.uniform_(norm.running_var, 0.2, 1.0)
        self.body = body
        for conv in (self.one, self.two, self.conv):
            conv.weight.data *= 3

    def forward(self, x):
        def over(layer, y):
            return layer(y.flatten(0, 1)).unflatten(0, y.shape[:2])

        a, b = self.sn1(over(self.one, x)), self.sn2(over(self.two, x))
        return self.last(self.body(self, over, a, b))


def spikes(shape=(4, 3, 2, 8, 8), seed=0):
    return (torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < 0.4).float()


def lowered(module, x, kind="spike"):
    """The network of ``module``, which agrees with it spike for spike."""
    module.eval()
    graph = trace(module, x, input=kind)
    outcome = Lower()(graph)
    assert outcome.ok, outcome.findings
    seen = observe(module, x, graph)
    run = run_network(outcome.form, arrange(x, graph), forced=seen.spikes)
    assert run.compared > 0
    assert run.mismatches == 0, run.disagreements[0]
    rates = [float(s.mean()) for s in seen.spikes.values()]
    assert all(0 < rate < 1 for rate in rates), rates
    return outcome.form


LINEAR = {
    "sum": lambda m, over, a, b: a + b,
    "weighted sum": lambda m, over, a, b: 0.7 * a - b / 3 + 0.2,
    "conv of a sum": lambda m, over, a, b: over(m.conv, a + b),
    "norm before a padded conv": lambda m, over, a, b: over(m.conv, over(m.norm, a)),
    "two norms into one neuron": lambda m, over, a, b: (
        over(m.norm, over(m.conv, a)) + over(m.other, b)
    ),
    "average pool and upsample": lambda m, over, a, b: over(
        lambda y: F.interpolate(F.avg_pool2d(y, 2), scale_factor=2), a
    ),
    "concat and slice": lambda m, over, a, b: over(m.conv, torch.cat([a, b], 2)[:, :, 2:6]),
    "chunk": lambda m, over, a, b: torch.cat(torch.chunk(a + b, 2, dim=2)[::-1], 2),
    "current residual": lambda m, over, a, b: over(m.conv, a) + a + over(m.norm, b),
    "constant per channel": lambda m, over, a, b: a * m.norm.weight.view(1, 1, -1, 1, 1),
}


@pytest.mark.parametrize("body", LINEAR.values(), ids=LINEAR)
def test_linear_regions(body):  # rule 1
    network = lowered(Net(body), spikes())
    assert all(p.role == "neuron" for p in network.populations)


def test_weights_are_shared_not_copied():  # rule 1
    network = lowered(Net(LINEAR["conv of a sum"]), spikes())
    convs = [op for p in network.incoming["last"] for op in p.map if isinstance(op, Conv)]
    assert [op.weight for op in convs] == ["conv.weight", "conv.weight"]


GATES = {
    "and": (lambda m, over, a, b: a * b, 1),
    "iand": (lambda m, over, a, b: b * (1 - a), 1),
    "or": (lambda m, over, a, b: a + b - a * b, 1),
    "logical or": (lambda m, over, a, b: torch.logical_or(a, b).float(), 1),
    "clamped sum": (lambda m, over, a, b: torch.clamp(a + b, max=1), 1),
    "maximum": (lambda m, over, a, b: torch.maximum(a, b), 1),
    "bitwise": (lambda m, over, a, b: ((a > 0) & ~(b > 0)).float(), 1),
    "xor": (lambda m, over, a, b: a * (1 - b) + b * (1 - a), 1),
    "relu of a difference": (lambda m, over, a, b: F.relu(a - b), 1),
    "where": (lambda m, over, a, b: torch.where(a > 0.5, b, 1 - b), 1),
    "affine in disguise": (lambda m, over, a, b: a * a + b * b, 0),
}


@pytest.mark.parametrize(("body", "gates"), GATES.values(), ids=GATES)
def test_functions_of_spikes(body, gates):  # rule 2
    network = lowered(Net(lambda m, o, a, b: o(m.conv, body(m, o, a, b))), spikes())
    assert sum(p.role == "gate" for p in network.populations) == gates


def test_an_intermediate_spike_that_is_read_elsewhere_cuts_the_group():  # rule 2
    def body(m, over, a, b):
        for _ in range(8):
            b = b * (1 - m.sn1(over(m.conv, b)))
        return b

    network = lowered(Net(body), spikes())
    assert sum(p.role == "gate" for p in network.populations) == 8


POOLS = {
    "overlap and padding": {"kernel_size": 3, "stride": 2, "padding": 1},
    "ceil mode": {"kernel_size": 3, "stride": 2, "ceil_mode": True},
    "ceil and padding": {"kernel_size": 3, "stride": 3, "padding": 1, "ceil_mode": True},
    "dilation": {"kernel_size": 2, "stride": 2, "dilation": 2},
}


@pytest.mark.parametrize("options", POOLS.values(), ids=POOLS)
def test_max_pool_on_spikes_is_or(options):  # rule 3
    network = lowered(Net(lambda m, o, a, b: o(lambda y: F.max_pool2d(y, **options), a)), spikes())
    (gate,) = (p for p in network.populations if p.role == "gate")
    assert gate.neuron.decay == 0
    assert gate.neuron.threshold == 1


class Image(Net):
    def forward(self, x):
        a = self.one(x).unsqueeze(0).repeat(3, 1, 1, 1, 1)
        s = self.sn1(a)
        y = self.conv(s.flatten(0, 1)).unflatten(0, s.shape[:2]) + a
        return self.last(y)


def test_an_analog_stem_is_an_encoder_that_may_feed_deeper_levels():  # rule 4
    x = torch.rand(3, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    network = lowered(Image(None), x, "analog")
    (encoder,) = network.encoders
    assert encoder.static
    assert {p.target for p in network.outgoing[encoder.name]} == {"sn1", "last"}


class Read(Net):
    def __init__(self, how):
        super().__init__(None)
        self.fc, self.how = nn.Linear(4, 5), how

    def forward(self, x):
        y = self.sn1(self.one(x.flatten(0, 1)).unflatten(0, x.shape[:2]))
        return self.how(self, y)


READOUTS = {
    "mean then fc": lambda m, y: m.fc(y.mean((-1, -2)).mean(0)),
    "fc then sum": lambda m, y: m.fc(y.mean((-1, -2))).sum(0),
    "fc then last": lambda m, y: m.fc(y.mean((-1, -2)))[-1],
    "softmax of the mean": lambda m, y: m.fc(y.mean((-1, -2))).mean(0).softmax(-1),
    "argmax": lambda m, y: m.fc(y.mean((-1, -2))).mean(0).argmax(-1),
}


@pytest.mark.parametrize("how", READOUTS.values(), ids=READOUTS)
def test_readouts(how):  # rule 5
    module, x = Read(how).eval(), spikes()
    graph = trace(module, x, input="spike")
    outcome = Lower()(graph)
    assert outcome.ok, outcome.findings
    run = run_network(outcome.form, arrange(x, graph))
    torch.testing.assert_close(run.logits["0"], observe(module, x, graph).heads["0"])


NEURONS = {
    "soft": lambda: IF(reset="soft", threshold=0.7),
    "v_reset": lambda: IF(v_reset=-0.4, threshold=0.8),
    "lif": lambda: LIF(tau=3.0, v_reset=0.2),
    "lif without decay of the input": lambda: LIF(tau=1.7, decay_input=False, reset="soft"),
    "tau 1": lambda: LIF(tau=1.0),
    "plif": lambda: PLIF(init_tau=2.5, threshold=0.6),
}


@pytest.mark.parametrize("neuron", NEURONS.values(), ids=NEURONS)
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_neurons_in_the_normal_form(neuron, steps):
    lowered(Net(lambda m, o, a, b: o(m.conv, a) * 2 + b, neuron), spikes((steps, 3, 2, 8, 8)))


def test_a_strict_threshold_becomes_the_next_float():
    graph = parse_graph("""graph g steps=2 {
  %x = input{kind='spike'} : step [3] {0,1}
  %n = spiking{threshold=1.0, strict=True} %x : step [3] {0,1}
  head 0 = %n
}""")
    network = Lower()(graph).form
    assert 1 < network.places["n"].neuron.threshold < 1 + 1e-15
    run = run_network(network, {"x": torch.ones(2, 1, 3)})
    assert run.spikes["n"][:, 0, 0].tolist() == [0, 1]


def test_every_finding_is_collected_and_the_form_stays_a_graph():  # rule 6
    def body(m, over, a, b):
        y = m.last(F.relu(over(m.conv, a)))
        z = m.last(over(m.conv, y) * over(m.conv, b))
        return over(lambda q: F.max_pool2d(q, 2), over(m.conv, z))

    graph = trace(Net(body).eval(), spikes(), input="spike")
    outcome = Lower()(graph)
    assert not outcome.ok
    assert outcome.form is graph
    assert [f.code for f in outcome.findings] == ["SNN105", "SNN103", "SNN104"]
