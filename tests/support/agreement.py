"""PyTorch, the traced Graph and every form of the Network on the same inputs, spike for spike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import torch
from random_networks import Sample, draw

from snncc.diagnostics import SnnccError
from snncc.frontends.torch import arrange, observe, trace
from snncc.ir.graph import Graph
from snncc.ir.interpreter import TensorStore, fire_as_written, run_graph, run_network
from snncc.ir.network import Network
from snncc.ir.text import parse_graph, parse_network, print_graph, print_network
from snncc.passes.base import Form, Pass
from snncc.passes.drop_identity import DropIdentity
from snncc.passes.fold_bn import FoldBn
from snncc.passes.lower import Lower
from snncc.passes.realise_projections import RealiseProjections
from snncc.passes.select_head import SelectHead
from snncc.passes.strip_aap import StripAap

TIE = 1e-9
OUTPUT = 1e-9

Spikes = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Tally:
    """What was compared: spikes one by one, in every form."""

    graphs: int = 0
    populations: int = 0
    gates: int = 0
    neurons: int = 0
    silent: int = 0
    compared: int = 0
    ties: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            *(a + b for a, b in zip(vars(self).values(), vars(other).values(), strict=True))
        )


class Parted(AssertionError):
    """Two forms of one network differ; says which and where."""


def check(seed: int, size: int = 10) -> Tally:
    """Compare all forms of a drawn network. Raises Parted, the network made as small as can be."""
    try:
        return compare(draw(seed, size))
    except Exception as error:
        for smaller in range(size):
            try:
                compare(draw(seed, smaller))
            except Exception as small:
                sample, reason = draw(seed, smaller), small
                break
        else:
            sample, reason = draw(seed, size), error
    raise Parted(f"{type(reason).__name__}: {reason}\n{sample}") from reason


def compare(sample: Sample) -> Tally:
    """All forms of a drawn network. Raises Parted."""
    ways = [
        name
        for name in WAYS  # the slowest pass: one way a network
        if not name.startswith("realised") or sample.seed % 2 != ("folded" in name)
    ]
    graph = trace(sample.module, sample.example, input=sample.kind, layout=sample.layout)
    return agree(sample.module, graph, [sample.inputs], ways, exact=sample.dyadic)


def agree(
    module: torch.nn.Module,
    graph: Graph,
    batches: Iterable[torch.Tensor],
    ways: Iterable[str],
    exact: bool = False,
) -> Tally:
    """``module``, its trace and its Network made in each of ``ways``, on each of ``batches``.

    Every neuron and gate, every step and sample, on the inputs it has in PyTorch, and once more
    free. With ``exact`` not even a tie is allowed. Raises Parted.
    """
    assert print_graph(parse_graph(print_graph(graph), graph.tensors)) == print_graph(graph)
    stripped = through(graph, SelectHead(), StripAap(), DropIdentity())
    assert isinstance(stripped, Graph)
    lowered = through(stripped, Lower())
    assert isinstance(lowered, Network)
    networks = {}
    for name in ways:
        networks[name] = through(lowered, *WAYS[name])
        _check_text(networks[name])
    roles = [p.role for p in lowered.populations]
    tally = Tally(graphs=1, populations=len(roles), gates=roles.count("gate"))
    for number, batch in enumerate(batches):
        inputs = arrange(batch, graph)
        seen = observe(module, batch, graph)
        tally += _graph(graph, inputs, seen.spikes)
        for head, node in graph.heads.items():
            own = run_graph(graph, inputs, forced=seen.spikes, keep=[node])[node]
            _outputs("the Graph", head, seen.heads[head], own)
        _bit_for_bit(graph, stripped, inputs)
        _value_sets(graph, inputs)
        wanted = {p.stands_for for p in lowered.populations} & stripped.nodes.keys()
        values = run_graph(stripped, inputs, forced=_known(seen.spikes, stripped), keep=wanted)
        values = {name: values[name] for name in wanted}
        for name, network in networks.items():
            head = next(iter(stripped.heads))
            tally += _network(name, network, inputs, values, seen.heads[head], exact)
        if not number:
            neurons = [p.stands_for for p in lowered.populations if p.role == "neuron"]
            silent = sum(not bool(values[name].any()) for name in neurons)
            size = sum(s[0, 0].numel() for s in values.values())
            tally += Tally(silent=silent, neurons=size)
    if exact and tally.ties:
        raise Parted(f"{tally.ties} ties although every sum is exact")
    return tally


def _network(
    name: str, network: Network, inputs: Mapping[str, torch.Tensor], values: Spikes,
    head: torch.Tensor, exact: bool,
) -> Tally:  # fmt: skip
    run = run_network(network, inputs, forced=values)
    if run.mismatches or (run.ties and exact):
        raise Parted(f"{name}: {run.mismatches} spikes differ, {run.disagreements[0]}")
    _outputs(name, "0", head, next(iter(run.logits.values())))
    free = run_network(network, inputs)
    differing = sum(
        int((free.spikes[p.name] != values[p.stands_for]).sum())
        for p in network.populations
        if p.stands_for in values
    )
    if differing and not run.ties:
        raise Parted(f"{name}: {differing} spikes differ when run freely, none when forced")
    return Tally(compared=run.compared, ties=run.ties)


WAYS: dict[str, tuple[Pass, ...]] = {
    "lowered": (),
    "norms folded into thresholds": (FoldBn(),),
    "norms folded into weights": (FoldBn("weights"),),
    "realised": (RealiseProjections(),),
    "realised after norms were folded": (FoldBn(), RealiseProjections()),
}


def through(form: Form, *passes: Pass) -> Form:
    for each in passes:
        outcome = each(form)
        if not outcome.ok:
            raise SnnccError(outcome.findings)
        form = outcome.form
    return form


def _known(spikes: Spikes, graph: Graph) -> dict[str, torch.Tensor]:
    return {name: s for name, s in spikes.items() if name in graph.nodes}


def _graph(graph: Graph, inputs: Mapping[str, torch.Tensor], spikes: Spikes) -> Tally:
    """Each neuron of the Graph on the inputs it got in PyTorch."""
    sources = {node.inputs[0] for node in graph.neurons}
    given = run_graph(graph, inputs, forced=spikes, keep=sources)
    store = TensorStore(graph.tensors, torch.float64)
    compared = ties = 0
    for node in graph.neurons:
        if node.name not in spikes:
            raise Parted(f"the Graph has a neuron {node.name} that PyTorch never called")
        current, seen = given[node.inputs[0]], spikes[node.name]
        if current.dim() < seen.dim():
            current = current.expand(seen.shape)
        own = fire_as_written(node.op, current, store)
        compared += own.numel()
        differing = own != seen
        if differing.any():
            low, high = (
                fire_as_written(replace(node.op, threshold=node.op.threshold * (1 + sign * TIE)),
                                current, store)
                for sign in (-1, 1)
            )  # fmt: skip
            unstable = (low != high).any(0, keepdim=True).expand(low.shape)
            if (differing & ~unstable).any():
                raise Parted(f"the Graph: {int(differing.sum())} spikes of {node.name} differ")
            ties += int(differing.sum())
    return Tally(compared=compared, ties=ties)


def _bit_for_bit(before: Graph, after: Graph, inputs: Mapping[str, torch.Tensor]) -> None:
    names = [node.name for node in after.neurons]
    one, two = run_graph(before, inputs, keep=names), run_graph(after, inputs, keep=names)
    for name in names:
        if not torch.equal(one[name], two[name]):
            raise Parted(f"stripping the Graph changed {name}")


def _value_sets(graph: Graph, inputs: Mapping[str, torch.Tensor]) -> None:
    """Every value lies in the set that is proved of its edge."""
    sets = {n.name: n.signal.values for n in graph.nodes.values() if n.signal.values.is_finite}
    for name, values in run_graph(graph, inputs, keep=sets).items():
        if name in sets:
            members = torch.tensor(sets[name].members, dtype=torch.float64)
            off = (values.unique()[:, None] - members).abs().amin(1)
            if (off > 1e-12).any():
                raise Parted(f"{name} takes values that {sets[name]} has not: {values.unique()}")


def _check_text(network: Network) -> None:
    stored = dict(network.tensors)
    for encoder in network.encoders:
        stored |= encoder.graph.tensors
    text = print_network(network)
    assert print_network(parse_network(text, stored)) == text


def _outputs(what: str, head: str, seen: torch.Tensor, own: torch.Tensor) -> None:
    if seen.dim() == own.dim() + 1:
        seen = seen.mean(0)
    if seen.shape != own.shape:
        raise Parted(f"{what}: head {head} has shape {tuple(own.shape)}, not {tuple(seen.shape)}")
    off = float((seen - own).abs().max() / seen.abs().max().clamp(min=1.0))
    if not off <= OUTPUT:
        raise Parted(f"{what}: head {head} is off by {off:.3g}")


def check_all(seeds: Iterable[int], size: int = 10) -> Tally:
    """The sum over many networks."""
    return sum((check(seed, size) for seed in seeds), Tally())
