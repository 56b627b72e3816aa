"""Translation validation: what a pass made runs as what it was given (design, section 3).

Floats add up differently in another order, so a Network is run teacher-forced: each population gets
its inputs from the run of the Graph it came from, and one difference stays one. A membrane within
1e-9 of its threshold is a tie and counted apart; any other difference is an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from snncc.ir.graph import Graph, Node
from snncc.ir.interpreter import (
    TensorStore,
    Value,
    Written,
    encoded,
    fire,
    gather,
    run_graph,
    run_network,
)
from snncc.ir.network import Network, Neuron, Population
from snncc.ir.ops import Spiking
from snncc.passes.base import Form
from snncc.pipeline import Broken, Stage

if TYPE_CHECKING:
    pass

TOLERANCE = 1e-9
"""Of heads, relative to their largest value."""

SHOWN = 1000


@dataclass(frozen=True)
class Check:
    """One pass, seen to preserve ``compared`` spikes but for ``ties``."""

    applied: str
    compared: int
    ties: int


class Verification:
    """An observer for ``pipeline.run`` that raises Broken where a pass changed a spike.

    ``inputs`` are tensors by the name of their Input node, as the interpreter takes them.
    ``checks`` says what was compared.

    Between two Graphs every neuron both have and every head is compared bit for bit; of a Network
    every population that stands for a node of the Graph it came from, and every readout.
    Populations that stand for none (relays, some gates) are covered by what they feed. A pass that
    makes whole numbers of a Network changes spikes and is not compared; it reports what it flips,
    and the passes behind it keep those of its Network, bit for bit.
    """

    def __init__(self, inputs: Mapping[str, Value]) -> None:
        self.inputs = inputs
        self.checks: list[Check] = []
        self._teacher: Form | None = None
        self._values: dict[str, Value] = {}

    @property
    def ties(self) -> int:
        """The most ties any one pass had: the same ones are met again by those after it."""
        return max((check.ties for check in self.checks), default=0)

    def __call__(self, stage: Stage) -> None:
        if self._teacher is None:
            self._teacher, self._values = stage.before, self._run(stage.before)
        if isinstance(stage.before, Network) and isinstance(stage.after, Network):
            same = stage.before.places is stage.after.places
            if same and stage.before.projections is stage.after.projections:
                return  # moved to other cores
            if stage.after.is_fixed and not stage.before.is_fixed:
                self._teacher = None  # the passes behind keep the spikes of the whole numbers
                return
        if isinstance(stage.after, Network):
            self.checks.append(self._against_teacher(stage, stage.after))
        elif stage.after is not self._teacher:
            kept = isinstance(stage.before, Graph) and is_part(stage.after, stage.before)
            values = self._values if kept else self._run(stage.after)
            self.checks.append(self._bit_for_bit(stage, stage.after, values))
            self._teacher, self._values = stage.after, values

    def _run(self, form: Form) -> dict[str, Value]:
        """The values that populations can stand for: neurons, heads, populations, readouts."""
        if isinstance(form, Graph):
            return self._run_graph(form, [node.name for node in form.neurons])
        run = run_network(form, self.inputs)
        named = {p.stands_for or p.name: run.spikes[p.name] for p in form.populations}
        return {**run.spikes, **named, **run.logits}

    def _run_graph(
        self, graph: Graph, names: Iterable[str], forced: Mapping[str, Value] | None = None
    ) -> dict[str, Value]:
        given = {node.name: self.inputs[node.name] for node in graph.inputs}
        return run_graph(graph, given, keep=set(names), forced=forced)

    def _bit_for_bit(self, stage: Stage, after: Graph, values: Mapping[str, Value]) -> Check:
        before = stage.before
        assert isinstance(before, Graph)
        common = [node.name for node in before.neurons if node.name in values]
        for name in common:
            differing = (self._values[name] != values[name]).nonzero()
            if len(differing):
                index = tuple(differing[0].tolist())
                membranes = [self._membrane(form, name, index) for form in (before, after)]
                raise Broken(_where(name, index, *membranes))
        for head in before.heads.keys() & after.heads.keys():
            mine, theirs = self._values[before.heads[head]], values[after.heads[head]]
            same = before.heads[head] == after.heads[head]  # not a merged head that was cut
            if same and not torch.equal(mine, theirs):
                raise Broken(_head(head, mine, theirs))
        return Check(str(stage.applied), sum(values[name].numel() for name in common), 0)

    def _against_teacher(self, stage: Stage, after: Network) -> Check:
        teacher = self._teacher
        if isinstance(teacher, Graph):
            named = {p.stands_for for p in after.populations} & teacher.nodes.keys()
            if missing := named - self._values.keys():
                self._values |= self._run_graph(teacher, missing, self._values)
        run = run_network(after, self.inputs, forced=self._values, limit=SHOWN)
        if run.mismatches:
            one = next((d for d in run.disagreements if not d.is_tie), run.disagreements[0])
            place = after.places[one.population]
            assert isinstance(place, Population)
            trained = self._membrane(teacher, place.stands_for or place.name, one.index)
            raise Broken(_where(one.population, one.index, trained, (one.membrane, one.threshold)))
        heads = teacher.heads if isinstance(teacher, Graph) else {r: r for r in run.logits}
        for name, logits in run.logits.items():
            if name in heads:
                head = over_time(self._values[heads[name]], logits)
                if difference(head, logits) > TOLERANCE:
                    raise Broken(_head(name, head, logits))
        return Check(str(stage.applied), run.compared, run.ties)

    def _membrane(
        self, form: Form | None, name: str, index: tuple[int, ...]
    ) -> tuple[float, float] | None:
        """Membrane and threshold of a neuron at (step, sample, *neuron), where it has them."""
        if isinstance(form, Graph):
            node = form.nodes[name]
            if not isinstance(node.op, Spiking):
                return None
            (source,) = node.inputs
            return _as_written(form, node, self._run_graph(form, [source])[source], index)
        assert form is not None
        places = [p for p in form.populations if name in (p.name, p.stands_for)]
        neuron = places[0].neuron if places else None
        if not isinstance(neuron, Neuron):
            return None
        return self._in_network(form, places[0], neuron, index)

    def _in_network(
        self, network: Network, place: Population, neuron: Neuron, index: tuple[int, ...]
    ) -> tuple[float, float]:
        run = run_network(network, self.inputs)
        store = TensorStore(network.tensors, torch.float64)
        steps = next(iter(run.spikes.values())).shape[0]
        currents = {each.name: encoded(each, self.inputs, steps) for each in network.encoders}
        _, h = fire(neuron, gather(network, place.name, run.spikes, currents, store), store)
        theta = store.number(neuron.threshold).expand(h.shape[2:])
        return float(h[index]), float(theta[index[2:]])


def is_part(after: Graph, before: Graph) -> bool:
    """Whether all nodes and tensors of ``after`` are those of ``before``, so that values are."""
    return all(
        name in before.nodes
        and (node is before.nodes[name] or node == before.nodes[name])
        and all(after.tensors[ref] is before.tensors[ref] for ref in node.op.refs())
        for name, node in after.nodes.items()
    )


def _as_written(
    graph: Graph, node: Node, current: Value, index: tuple[int, ...]
) -> tuple[float, float]:
    """One neuron's membrane before reset, and threshold, in its framework's order of work."""
    op, (step, sample, *neuron) = node.op, index
    assert isinstance(op, Spiking)
    if graph.nodes[node.inputs[0]].signal.rate != "step":
        current = current.expand(step + 1, *current.shape)
    store = TensorStore(graph.tensors, torch.float64)
    written, h = Written(op, current.shape[1:], store), current[0]
    for x in current[: step + 1]:
        _, h = written(x)
    threshold = store.number(op.threshold).expand(h.shape[1:])
    return float(h[(sample, *neuron)]), float(threshold[tuple(neuron)])


def _where(
    population: str,
    index: tuple[int, ...],
    before: tuple[float, float] | None,
    after: tuple[float, float] | None,
) -> str:
    step, sample, *neuron = map(str, index)
    said = [
        f"{when} a membrane of {membrane[0]!r} against the threshold {membrane[1]!r}"
        for when, membrane in (("before", before), ("after", after))
        if membrane is not None
    ]
    place = f"step {step}, sample {sample}, neuron ({', '.join(neuron)})"
    return f"population {population}, {place}: {', '.join(said)}"


def _head(name: str, before: Value, after: Value) -> str:
    if before.shape != after.shape:
        shapes = f"shape {tuple(before.shape)} before, {tuple(after.shape)} after"
        return f"head {name}: {shapes}"
    worst = (before - after).abs().nan_to_num(torch.inf).argmax()
    index = tuple(int(i) for i in torch.unravel_index(worst, before.shape))
    values = f"{float(before[index])!r} before, {float(after[index])!r} after"
    return f"head {name}, value ({', '.join(map(str, index))}): {values}"


def over_time(head: Value, logits: Value) -> Value:
    """A network that ends in one value per step has their mean for logits."""
    return head.mean(0) if head.dim() == logits.dim() + 1 else head


def difference(a: Value, b: Value) -> float:
    """The largest difference, relative to the largest value where that is above 1."""
    if a.shape != b.shape or not a.numel():
        return float(a.shape != b.shape)
    scale = max(1.0, float(a.abs().max()))
    return float((a - b).abs().nan_to_num(torch.inf).max()) / scale
