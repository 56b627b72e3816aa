"""Loops over time, re-rolled while they are recorded.

What each step does is numbered (see ``numbering``). A neuron called the t-th time must read the
node it read at first. All steps of a node, stacked, are the node with its time axis; the sum of its
steps so far, once complete, is its sum over time. After the loop a tensor of the last step is the
last value of its node.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import torch

from snncc.diagnostics import refuse
from snncc.frontends.torch.axes import Axes
from snncc.frontends.torch.builder import Builder
from snncc.frontends.torch.tracked import Call, Tracked
from snncc.ir.graph import Node, Signal, backward, is_zero
from snncc.ir.ops import Constant, Delay, Elementwise, Membrane
from snncc.ir.shapes import Shape


class Loop:
    """What repeats in a recording: its neurons, its stacks and its sums."""

    def __init__(self, builder: Builder) -> None:
        self._builder, self._numbering = builder, builder.numbering
        self._given = builder.steps is not None
        self._neurons: dict[str, tuple[str, str]] = {}
        self._fed: dict[str, str] = {}

    # -- neurons -------------------------------------------------------------------------------

    def neuron(self, path: str, entry: Tracked, node: str, at: int) -> str | None:
        """The node of the neuron, None for its first call; refuses a call that is no next step."""
        builder = self._builder
        known, source = self._neurons.get(path, (None, node))
        if builder.nodes[node].signal.rate == "final" and not self._numbering.ended_by:
            raise builder.refuse("SNN112", f"neuron {path} reads a value of all time steps")
        if builder.nodes[node].signal.rate == "final":
            said = f"in step {at} neuron {path} reads {node}, a value of the whole loop"
            raise builder.refuse("SNN318", said + self._numbering.why())
        if builder.steps is not None and at >= builder.steps:
            said = f"neuron {path} has a step {at} of {builder.steps}{self._numbering.why()}"
            raise builder.refuse("SNN318", said)
        if entry.at is not None and entry.at < at:
            said = f"neuron {path} is called again in step {entry.at}: on {source}, then on {node}"
            raise builder.refuse("SNN309", said)
        if entry.at is not None and entry.at > at:
            said = f"step {entry.at} runs neuron {path}, and step {at} does not"
            raise builder.refuse("SNN318", said)
        if node != source:
            said = f"neuron {path} reads {node} in step {at}, and {source} in step 0"
            raise builder.refuse("SNN318", said)
        if known is not None:
            self._numbering.visit(known)
        return known

    def fed_back(self, path: str, axes: Axes, shape: Shape) -> str:
        """What a neuron spiked one step before; its spikes are made known by ``feeds``."""
        builder, nodes = self._builder, self._builder.nodes
        name = self._fed.get(path)
        if name is None:
            name = self._fed[path] = builder.unique(f"{path}.before" if path else "before")
            axes = axes if self._numbering.at is None else ("T", *axes)
            nodes[name] = Node(name, Delay(), (name,), Signal(shape, "step", axes=axes))
        self._numbering.reads(name)
        return name

    def feeds(self, path: str, spikes: str) -> None:
        """``spikes`` is the node of a neuron that reads them one step later."""
        name, nodes = self._fed[path], self._builder.nodes
        nodes[name] = replace(nodes[name], inputs=(spikes,), origin=nodes[spikes].origin)

    def made_neuron(self, path: str, name: str, source: str) -> None:
        """``name``, a new node, is the neuron, and reads ``source``."""
        self._neurons[path] = (name, source)
        self._numbering.visit(name)

    # -- all steps -------------------------------------------------------------------------------

    def _differ(self, tensors: Sequence[torch.Tensor], dim: int) -> bool:
        """Whether several values are joined along their features."""
        entries = [self._builder.tracked(t) for t in tensors if self._builder.is_tracked(t)]
        return len({e.node for e in entries}) > 1 and all(e.axes[dim] == "F" for e in entries)

    def _stacked(self, tensors: Sequence[torch.Tensor], before: int = 0) -> Tracked | None:
        """The entry of step 0 when ``tensors`` are all steps of one node, in order.

        Behind so many others ``before`` they are all but as many.
        """
        builder = self._builder
        if not all(map(builder.is_tracked, tensors)):
            return None
        entries = [builder.tracked(tensor) for tensor in tensors]
        steps = [entry.at for entry in entries]
        whole = before + len(steps) > 1 or builder.steps == 1
        if None in steps or (len(steps) > 1 and len(set(steps)) == 1) or not whole:
            return None
        first, said = entries[0], ", ".join(f"{e.node} of step {e.at}" for e in entries[:4])
        same = all(e.node == first.node and e.axes == first.axes for e in entries)
        if not same or steps != list(range(len(steps))) or any(e.summed for e in entries):
            raise builder.refuse("SNN318", f"{said}, … are joined: not each step of one value")
        count = before + len(steps)
        self._numbering.fix(count, f"a list of {count} steps of {first.node}")
        return first

    def _empty(self, parts: Sequence[torch.Tensor]) -> int:
        """How many zeros stand in a list before the steps of a value, which so come late."""
        known = [self._builder.is_tracked(part) for part in parts]
        first = known.index(True) if True in known else 0
        alike = all(p.shape == parts[first].shape and not p.any() for p in parts[:first])
        return first if alike else 0

    def _later(self, entry: Tracked, steps: int) -> str:
        """The node of ``entry``, at all steps, so many steps later."""
        builder, name = self._builder, entry.node
        shape = builder.nodes[name].signal.shape
        with self._numbering.call(()):
            for _ in range(steps):
                axes = builder.nodes[name].signal.axes
                name = builder.emit(Delay(), [name], shape, axes, "step", what="delay")
        return name

    def together(self, call: Call) -> bool:
        """Whether ``call`` joined several steps into one value, which then is bound."""
        builder = self._builder
        match call.name:
            case "stack" | "cat" | "concat" | "concatenate":
                dim = int(call["dim"] or 0) % call.result.dim()
                parts = list(call["tensors"])
                if call.name != "stack" and self._differ(parts, dim):
                    return False
                empty = self._empty(parts) if call.name == "stack" else 0
                entry = self._stacked(parts[empty:], empty)
                if entry is None:
                    return False
                axes = list(entry.axes)
                if call.name == "stack":
                    axes.insert(dim, "T")
                elif axes[dim] in ("1", "N"):
                    axes[dim] = "T" if axes[dim] == "1" else "TN"
                else:
                    raise builder.refuse("SNN112", "steps are joined along a feature")
                builder.place(call.result, self._later(entry, empty), tuple(axes))
                return True
            case "add" | "radd":
                entry = self._adds_up(call["input"], call["other"])
                if entry is None or call.get("alpha", 1) != 1:
                    return False
                builder.place(call.result, entry.node, entry.axes, entry.at, summed=True)
                return True
        return False

    def settle(self, tensor: torch.Tensor) -> None:
        """A sum over the steps of a loop is read, so that it is complete."""
        if self._builder.tracked(tensor).summed:
            self._total(tensor)

    def _total(self, tensor: torch.Tensor) -> None:
        """``tensor``, a sum of steps, is read: it must be of all steps."""
        builder, entry = self._builder, self._builder.tracked(tensor)
        assert entry.at is not None
        steps = builder.steps
        if steps is not None and entry.at + 1 < steps:
            said = f"the sum of {entry.node} over steps 0 to {entry.at} is read before the last one"
            raise builder.refuse("SNN112", said)
        self._numbering.fix(
            entry.at + 1, f"reading the sum of {entry.node} over steps 0 to {entry.at}"
        )
        with self._numbering.call(()):
            builder.bind(tensor, builder.over_time("sum", entry.node), entry.axes)

    def _adds_up(self, x: object, y: object) -> Tracked | None:
        """The next partial sum, when ``x`` + ``y`` is one: of steps 0 to t − 1, and step t."""
        builder = self._builder
        if not (builder.is_tracked(x) and builder.is_tracked(y)):
            return None
        assert isinstance(x, torch.Tensor)
        assert isinstance(y, torch.Tensor)
        pair = builder.tracked(x), builder.tracked(y)
        for so_far, now in (pair, pair[::-1]):
            if so_far.at is None or now.at != so_far.at + 1 or now.summed:
                continue
            partial = so_far.node if so_far.summed else self._bare(so_far.node)
            if (so_far.summed or so_far.at == 0) and partial == now.node:
                return now
        return None

    def _bare(self, name: str) -> str:
        """Without the zero that a sum starts from."""
        builder = self._builder
        node = builder.nodes[name]
        if not isinstance(node.op, Elementwise) or node.op.function != "add":
            return name
        zeros = [n for n in node.inputs if is_zero(builder.nodes[n], builder.tensors)]
        others = [n for n in node.inputs if n not in zeros]
        same = others and builder.nodes[others[0]].signal.shape == node.signal.shape
        return others[0] if zeros and same else name

    def final(self, tensor: torch.Tensor) -> None:
        """``tensor`` leaves forward: a sum of all steps, or the last one."""
        builder, entry = self._builder, self._builder.tracked(tensor)
        if entry.summed:
            self._total(tensor)
        elif entry.at is not None:
            self._numbering.fix(entry.at + 1, f"returning step {entry.at} of {entry.node}")
            with self._numbering.call(()):
                builder.bind(tensor, builder.over_time("last", entry.node), entry.axes)

    def finish(self, heads: Collection[str]) -> None:
        """Every step did everything that ``heads`` need; drop what they do not and no step ended.

        Raises SnnccError: SNN306 for a neuron of one step that was called once, SNN318.
        """
        builder, visits = self._builder, self._numbering.visits
        for path, (name, _) in self._neurons.items():
            if visits[name] == 1 and not self._given:
                raise refuse("SNN306", single_step(path), builder.nodes[name].origin)
        steps = builder.steps or max(visits.values(), default=0)
        if visits:
            builder.steps = steps
        needed = backward(builder.nodes, heads)
        early = self._all_but_last(needed, set(heads), steps)
        for name in builder.nodes:
            if name in needed and name not in early and visits.get(name, steps) != steps:
                said = f"{name} runs in {visits[name]} steps, and what is returned is of {steps}"
                raise refuse("SNN318", said + self._numbering.why(), builder.nodes[name].origin)
        read = {source for node in builder.nodes.values() for source in node.inputs} | set(heads)
        gone = {n.name for n in builder.nodes.values() if isinstance(n.op, Constant)} - read
        for node in list(builder.nodes.values()):
            partial = visits.get(node.name, steps) != steps or isinstance(node.op, Membrane)
            if node.name not in needed and (partial or not gone.isdisjoint(node.inputs)):
                gone.add(node.name)
        for name in gone:
            del builder.nodes[name]

    def _all_but_last(
        self, needed: Collection[str], heads: Collection[str], steps: int
    ) -> set[str]:
        """Nodes that the last step leaves out because only a next one would read them."""
        nodes = self._builder.nodes
        early = {n for n in needed if self._numbering.visits.get(n) == steps - 1 and n not in heads}
        while True:
            read = {
                source
                for name in needed
                if name not in early and not isinstance(nodes[name].op, Delay)
                for source in nodes[name].inputs
            }
            if not early & read:
                return early
            early -= read


class Apart(Loop):
    """The loops of a run that is written down step by step: nothing is known of them yet."""

    def neuron(self, path: str, entry: Tracked, node: str, at: int) -> str | None:
        return None

    def made_neuron(self, path: str, name: str, source: str) -> None:
        pass

    def fed_back(self, path: str, axes: Axes, shape: Shape) -> str:
        said = f"neuron {path} hears itself in a loop whose steps do not follow those of the input"
        raise self._builder.refuse("SNN318", said)

    def together(self, call: Call) -> bool:
        return False

    def settle(self, tensor: torch.Tensor) -> None:
        pass

    def final(self, tensor: torch.Tensor) -> None:
        pass

    def finish(self, heads: Collection[str]) -> None:
        pass


def single_step(path: str) -> str:
    return f"neuron {path} is single-step: pass time_steps and an input of one step"
