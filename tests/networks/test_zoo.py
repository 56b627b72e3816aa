"""SpikingJelly's model zoo, unmodified: 0 differing spikes, all populations, T = 4, two batches."""

from __future__ import annotations

import math
import os

import pytest
import torch
from agreement import agree
from zoo import PLIF, RESNET, SEW, STEPS, VGG, Zoo, narrowed, shape

from snncc.frontends.torch import trace
from snncc.ir.synapses import synapses
from snncc.passes.balance_delays import BalanceDelays
from snncc.passes.lower import Made
from snncc.pipeline import frontend_passes, run

FIRST = not os.environ.get("SNNCC_SPIKINGJELLY")
"""The version tested most; under the others one model of each family is enough."""

CNF = ["ADD", "AND", "IAND"]
OTHERS = ("sew_resnet18", "sew_resnet50")
DEEPER = [("sew_resnet50", cnf) for cnf in (CNF if FIRST else CNF[:1])]
DEEPER += [(name, CNF[n % 3]) for n, name in enumerate(SEW) if FIRST and name not in OTHERS]
"""The two sorts of blocks have every way of adding, 18 and 50 layers deep; the others one each."""
ONE_OF_EACH = ["spiking_vgg11", "spiking_vgg13_bn", "spiking_vgg16", "spiking_vgg19_bn"]
FOLDED = ["norms folded into thresholds"]
ALL = ["lowered", *FOLDED, "norms folded into weights", "realised after norms were folded"]


@pytest.fixture
def zoo(spikingjelly):
    torch.manual_seed(0)
    return Zoo(spikingjelly)


def batches(name, size=32):
    """Two batches of one step: an image, or events where the model has two channels."""
    source = torch.Generator().manual_seed(1)
    values = (torch.rand(2, *shape(name, size), generator=source) for _ in range(2))
    return [(x < 0.1).float() if x.shape[1] == 2 else x for x in values]


def agreed(zoo, name, kind="IF", ways=ALL, size=32, multi_step=True, narrow=False, **options):
    net = zoo(name, kind, multi_step, **options)
    net = narrowed(net) if narrow else net
    first, second = batches(name, size)
    if multi_step:
        first, second = (x.repeat(STEPS, *[1] * x.dim()) for x in (first, second))
    zoo.lively(net, first, 1 if multi_step else STEPS)
    given = {"layout": "TN"} if multi_step else {"time_steps": STEPS}
    tally = agree(net, trace(net, first, **given), [first, second], ways)
    assert tally.neurons > 1000
    assert tally.silent <= tally.populations / 20, "silent neurons prove little"
    assert tally.ties == 0
    return tally


@pytest.mark.slow
@pytest.mark.parametrize("cnf", CNF)
@pytest.mark.parametrize("kind", ["IF", "LIF"] if FIRST else ["LIF"])
def test_sew_resnet18(zoo, cnf, kind):
    agreed(zoo, "sew_resnet18", kind, cnf=cnf)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["IF", "ParametricLIF"])
def test_spiking_resnet18(zoo, kind):
    agreed(zoo, "spiking_resnet18", kind)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "cnf"), DEEPER)
def test_deeper_sew_resnets(zoo, name, cnf):
    agreed(zoo, name, ways=FOLDED, cnf=cnf)


@pytest.mark.slow
@pytest.mark.parametrize("name", RESNET[1:] if FIRST else ["spiking_resnet50"])
def test_deeper_spiking_resnets(zoo, name):
    agreed(zoo, name, ways=FOLDED)


@pytest.mark.slow
@pytest.mark.parametrize("name", ONE_OF_EACH if FIRST else VGG[:2])
def test_spiking_vgg(zoo, name):
    """One as it is, the others with a narrow classifier: theirs is most of the work."""
    whole = FIRST and name == "spiking_vgg11"
    agreed(zoo, name, "LIF" if name.endswith("bn") else "IF", ways=FOLDED, narrow=not whole)


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in PLIF if "DVS" not in n])
def test_parametric_lif_nets(zoo, name, spikingjelly):
    """0.0.0.0.12 has the models of one step in the same form as later versions."""
    agreed(zoo, name, "ParametricLIF", multi_step=spikingjelly.package != "clock_driven")


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in PLIF if "DVS" in n])
def test_parametric_lif_nets_for_events(zoo, name, spikingjelly):
    agreed(zoo, name, "ParametricLIF", multi_step=spikingjelly.package != "clock_driven")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sew_resnet18", "spiking_resnet18"])
def test_a_model_of_one_step_is_called_t_times(zoo, name):
    options = {"cnf": "ADD"} if name in SEW else {}
    agreed(zoo, name, "LIF", FOLDED, multi_step=False, **options)


@pytest.mark.slow
def test_a_sum_says_what_it_costs_beside_a_gate(zoo):
    """SNN502's two sides, on the same network with ADD and with IAND."""
    (x, _), networks, notes = batches("sew_resnet18"), {}, {}
    x = x.repeat(STEPS, 1, 1, 1, 1)
    for cnf in ("ADD", "IAND"):
        net = zoo("sew_resnet18", cnf=cnf).eval()
        result = run(trace(net, x, layout="TN"), frontend_passes())
        networks[cnf] = result.form
        notes[cnf] = [f for f in result.findings if f.code == "SNN502"]
        reports = result.reports
        if cnf == "ADD":
            sums = reports[Made].sums_of_spikes
        else:
            assert reports[Made].sums_of_spikes is None
    (note,) = notes["ADD"]
    assert not notes["IAND"]
    assert "8 sums of spikes" in note.message
    assert f"{sums.term_by_term.axons:,} axons" in note.message

    def cost(network):
        """Axons and synapses of all projections."""
        on_chip = [p for p in network.projections if not p.source.startswith("bn1")]
        axons = sum(math.prod(network.places[p.source].shape) for p in on_chip)
        paths = (synapses(p.map, network.places[p.source].shape, network.tensors) for p in on_chip)
        return axons, sum(paths)

    for index, kind in enumerate(("axons", "synapses")):
        more = cost(networks["ADD"])[index] - cost(networks["IAND"])[index]
        assert more == getattr(sums.term_by_term, kind) - getattr(sums.with_gates, kind)
        assert more > 0


@pytest.mark.slow
def test_152_layers_of_sums_are_scheduled_or_refused(zoo):
    (x, _) = batches("sew_resnet152")
    net = zoo("sew_resnet152", cnf="ADD").eval()
    network = run(trace(net, x.repeat(STEPS, 1, 1, 1, 1), layout="TN"), frontend_passes()).form
    delayed, relayed = (BalanceDelays(delays)(network) for delays in (62, 0))
    neurons = sum(math.prod(place.shape) for place in network.populations)
    assert delayed.report.relay_neurons < neurons / 5
    assert delayed.report.delayed_neuron_steps > 10 * neurons
    relays = relayed.report.relay_neurons
    assert relays == relayed.report.neuron_steps_held_back > 10 * neurons
    warning = relayed.findings[-1]
    assert warning.code == "SNN505"
    assert f"{relays:,} relay neurons serve {neurons:,} others" in warning.message
    (error,) = BalanceDelays(limit=relays - 1)(network).findings
    assert error.code == "SNN212"
    assert f"{relays:,} relay neurons would serve {neurons:,} others" in error.message
