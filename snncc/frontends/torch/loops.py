"""Loops over time, re-rolled while they are recorded.

A tensor of a loop is a node and a step: ``x[t]`` is the node of ``x`` at step t. An op on step 0
makes a node; the op that does the same to the same nodes at step t is that node at step t (value
numbering), so that iterations are the same by construction. Where step 0 reads a constant and the
others a value of the step before, both are a ``Delay`` of that value. A neuron called the t-th time
must read the node it read at first. All steps of a node, stacked, are the node with its time axis;
the sum of its steps so far, once complete, is its sum over time. An op that step 0 did not do comes
after the loop, where a tensor of the last step is the last value of its node.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from snncc.diagnostics import refuse
from snncc.frontends.torch.axes import Axes
from snncc.frontends.torch.neurons import single_step
from snncc.frontends.torch.tracked import Call, Tracked
from snncc.ir.graph import Node, Rate, Signal, backward
from snncc.ir.ops import Constant, Delay, Elementwise, Membrane, Op, OverTime, Ref, Spiking
from snncc.ir.shapes import Shape

if TYPE_CHECKING:
    from snncc.frontends.torch.recorder import Recorder


class Loop:
    """What a recording knows of its loops, and the step of the call it is in."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._given = recorder.steps is not None
        self._numbers: dict[tuple[Op, tuple[str, ...]], str] = {}
        self._visits: dict[str, int] = {}
        self._neurons: dict[str, tuple[str, str]] = {}
        self._at: int | None = None
        self._here: set[str] = set()
        self._late: set[str] = set()
        self._delays: dict[str, str] = {}
        self._fed: dict[str, str] = {}
        self._over = False
        self._ended = ""

    # -- the call at hand ----------------------------------------------------------------------

    @property
    def at(self) -> int | None:
        """The step of the call at hand; None outside of a loop and after it."""
        return None if self._over else self._at

    @contextmanager
    def call(self, entries: Iterable[Tracked], at: int | None = None) -> Iterator[None]:
        """While this runs, what is made belongs to the step of ``entries``, or to ``at``."""
        before = self._at, self._here, self._late, self._over
        looped = [entry for entry in entries if entry.at is not None]
        steps = sorted({entry.at for entry in looped if entry.at is not None})
        self._at = steps[-1] if steps else at
        self._here = {entry.node for entry in looped if entry.at == self._at}
        self._late = {entry.node for entry in looped if entry.at != self._at}
        self._over = False
        try:
            if steps and (steps[0] < steps[-1] - 1 or self._here & self._late):
                said = " and ".join(dict.fromkeys(f"{e.node} of step {e.at}" for e in looped))
                raise self._recorder.refuse("SNN112", f"{said} meet")
            yield
        finally:
            self._at, self._here, self._late, self._over = before

    # -- ops -----------------------------------------------------------------------------------

    def arguments(self, op: Op, inputs: Sequence[str], rate: Rate | None) -> tuple[str, ...]:
        """``inputs`` of a new op, or their last values where it comes after the loop."""
        if isinstance(op, Membrane):  # there are as many steps of it as of its neuron
            return tuple(inputs)
        nodes = self._recorder.nodes
        if not self._late.isdisjoint(inputs):
            inputs = self._delayed(op, inputs)
        stepwise = [name for name in inputs if nodes[name].signal.rate == "step"]
        if self.at is not None and stepwise and rate != "final":
            if not self._here.issuperset(stepwise):
                raise self._recorder.refuse("SNN112", "one step of a value meets all its steps")
            new = self.at > 0 and (op, tuple(inputs)) not in self._numbers
            if new or any(nodes[name].signal.rate == "final" for name in inputs):
                self._end(self.at, f"{_words(op)} on {' and '.join(stepwise)}")
        if self._over and rate != "final":
            here = self._here
            return tuple(self._over_time("last", n) if n in here else n for n in inputs)
        return tuple(inputs)

    def find(self, op: Op, inputs: tuple[str, ...], rate: Rate) -> str | None:
        """The node that does this already: once for all steps, or at this step of the loop."""
        if isinstance(op, Spiking) or (rate == "step" and self.at is None):
            return None
        name = self._numbers.get((op, inputs))
        if name is not None and rate == "step" and not isinstance(op, Membrane):
            self._visit(name)
        return name

    def made(self, op: Op, inputs: tuple[str, ...], name: str, rate: Rate) -> None:
        """``name`` is a new node."""
        if rate != "step" or self.at is not None:
            self._numbers.setdefault((op, inputs), name)
        if rate == "step" and self.at is not None and not isinstance(op, Membrane):
            self._visit(name)

    def _visit(self, name: str) -> None:
        """The call at hand is ``name`` at its step."""
        visits, at = self._visits.get(name, 0), self.at
        assert at is not None
        if at > visits:
            said = f"step {at} runs {name}, and step {visits} does not"
            raise self._recorder.refuse("SNN318", said)
        self._visits[name] = max(visits, at + 1)
        self._here.add(name)

    def _end(self, at: int, what: str) -> None:
        """``what``, which no step before did, comes after the loop, or the steps differ."""
        steps = self._recorder.steps
        if steps is not None and at + 1 < steps:
            said = f"step {at} runs {what}, and step 0 does not"
            raise self._recorder.refuse("SNN318", said)
        self._fix(at + 1, what)
        self._over = True

    def _fix(self, steps: int, what: str) -> None:
        """The loop has so many steps, as ``what`` shows."""
        known = self._recorder.steps
        if known not in (None, steps):
            said = f"{what} takes {steps} of {known} steps{self._why()}"
            raise self._recorder.refuse("SNN318", said)
        self._recorder.steps, self._ended = steps, self._ended or what

    def _why(self) -> str:
        return f"; {self._ended} was taken for the end of the loop" if self._ended else ""

    def _over_time(self, kind: Literal["last", "sum"], name: str) -> str:
        signal = self._recorder.nodes[name].signal
        with self._recorder.within(name):
            op, axes = OverTime(kind), signal.axes[1:]
            return self._recorder.emit(op, [name], signal.shape, axes, "final", suffix=f".{kind}")

    # -- the step before -----------------------------------------------------------------------

    def _delayed(self, op: Op, inputs: Sequence[str]) -> tuple[str, ...]:
        """``inputs`` with what is of the step before behind a ``Delay``."""
        commutes = isinstance(op, Elementwise) and op.function in ("add", "mul", "and", "or")
        orders = [tuple(inputs), tuple(inputs)[::-1]] if commutes else [tuple(inputs)]
        if any(name in self._late and name not in self._delays for name in inputs):
            self._begin_delays(op, orders)
        taken = [tuple(self._delays[n] if n in self._late else n for n in names)
                 for names in orders]  # fmt: skip
        self._here.update(taken[0])
        return next((names for names in taken if (op, names) in self._numbers), taken[0])

    def _begin_delays(self, op: Op, orders: Sequence[tuple[str, ...]]) -> None:
        """Where step 0 had constants, the steps after it have values of the step before."""
        recorder = self._recorder
        found = [
            (known, name, inputs)
            for (other, known), name in self._numbers.items()
            for inputs in orders
            if other == op and self._visits.get(name) == self._at == 1
            and len(known) == len(inputs) and all(map(self._begins, known, inputs))
        ]  # fmt: skip
        if not found:
            late = " and ".join(name for name in orders[0] if name in self._late)
            said = f"step {self._at} runs {_words(op)} on {late} of the step before"
            raise recorder.refuse("SNN318", f"{said}, and step 0 does not on a constant")
        known, name, inputs = found[0]
        before: list[Node] = []
        for first, late in zip(known, inputs, strict=True):
            if late in self._late and late not in self._delays:
                value = recorder.nodes[first].op
                assert isinstance(value, Constant)
                zero = _is_zero(recorder.nodes[first], recorder.tensors)
                before.append(self._delay(late, Delay(0.0 if zero else value.value), name))
        taken = tuple(self._delays[n] if n in self._late else n for n in inputs)
        recorder.insert(before, replace(recorder.nodes[name], inputs=taken))
        self._numbers[op, taken] = self._numbers.pop((op, known))

    def _begins(self, first: str, name: str) -> bool:
        """Whether ``first`` may stand in step 0 where ``name`` stands in step 1."""
        if name not in self._late:
            return first == name
        constant = isinstance(self._recorder.nodes[first].op, Constant)
        return constant or first == self._delays.get(name)

    def _delay(self, source: str, op: Delay, reader: str) -> Node:
        """``source`` one step later, as ``reader`` reads it."""
        nodes = self._recorder.nodes
        name = self._delays[source] = self._recorder.unique(f"{source}.before")
        return Node(name, op, (source,), nodes[source].signal, nodes[reader].origin)

    # -- neurons -------------------------------------------------------------------------------

    def neuron(self, path: str, entry: Tracked, node: str, at: int) -> str | None:
        """The node of the neuron, None for its first call; refuses a call that is no next step."""
        recorder = self._recorder
        known, source = self._neurons.get(path, (None, node))
        if recorder.nodes[node].signal.rate == "final" and not self._ended:
            raise recorder.refuse("SNN112", f"neuron {path} reads a value of all time steps")
        if recorder.nodes[node].signal.rate == "final":
            said = f"in step {at} neuron {path} reads {node}, a value of the whole loop"
            raise recorder.refuse("SNN318", said + self._why())
        if recorder.steps is not None and at >= recorder.steps:
            said = f"neuron {path} has a step {at} of {recorder.steps}{self._why()}"
            raise recorder.refuse("SNN318", said)
        if entry.at is not None and entry.at < at:
            said = f"neuron {path} is called again in step {entry.at}: on {source}, then on {node}"
            raise recorder.refuse("SNN309", said)
        if entry.at is not None and entry.at > at:
            said = f"step {entry.at} runs neuron {path}, and step {at} does not"
            raise recorder.refuse("SNN318", said)
        if node != source:
            said = f"neuron {path} reads {node} in step {at}, and {source} in step 0"
            raise recorder.refuse("SNN318", said)
        if known is not None:
            self._visit(known)
        return known

    def fed_back(self, path: str, axes: Axes, shape: Shape) -> str:
        """What a neuron spiked one step before; its spikes are made known by ``feeds``."""
        recorder, nodes = self._recorder, self._recorder.nodes
        name = self._fed.get(path)
        if name is None:
            name = self._fed[path] = recorder.unique(f"{path}.before" if path else "before")
            axes = axes if self.at is None else ("T", *axes)
            nodes[name] = Node(name, Delay(), (name,), Signal(shape, "step", axes=axes))
        self._here.add(name)
        return name

    def feeds(self, path: str, spikes: str) -> None:
        """``spikes`` is the node of a neuron that reads them one step later."""
        name, nodes = self._fed[path], self._recorder.nodes
        nodes[name] = replace(nodes[name], inputs=(spikes,), origin=nodes[spikes].origin)

    def made_neuron(self, path: str, name: str, source: str) -> None:
        """``name``, a new node, is the neuron, and reads ``source``."""
        self._neurons[path] = (name, source)
        self._visit(name)

    # -- all steps -------------------------------------------------------------------------------

    def differ(self, tensors: Sequence[torch.Tensor], dim: int) -> bool:
        """Whether several values are joined along their features."""
        entries = [self._recorder.tracked(t) for t in tensors if self._recorder.is_tracked(t)]
        return len({e.node for e in entries}) > 1 and all(e.axes[dim] == "F" for e in entries)

    def stacked(self, tensors: Sequence[torch.Tensor]) -> Tracked | None:
        """The entry of step 0 when ``tensors`` are all steps of one node, in order."""
        recorder = self._recorder
        if not all(map(recorder.is_tracked, tensors)):
            return None
        entries = [recorder.tracked(tensor) for tensor in tensors]
        steps = [entry.at for entry in entries]
        whole = len(steps) > 1 or recorder.steps == 1
        if None in steps or (len(steps) > 1 and len(set(steps)) == 1) or not whole:
            return None
        first, said = entries[0], ", ".join(f"{e.node} of step {e.at}" for e in entries[:4])
        same = all(e.node == first.node and e.axes == first.axes for e in entries)
        if not same or steps != list(range(len(steps))) or any(e.summed for e in entries):
            raise recorder.refuse("SNN318", f"{said}, … are joined: not each step of one value")
        self._fix(len(steps), f"a list of {len(steps)} steps of {first.node}")
        return first

    def total(self, tensor: torch.Tensor) -> None:
        """``tensor``, a sum of steps, is read: it must be of all steps."""
        recorder, entry = self._recorder, self._recorder.tracked(tensor)
        assert entry.at is not None
        steps = recorder.steps
        if steps is not None and entry.at + 1 < steps:
            said = f"the sum of {entry.node} over steps 0 to {entry.at} is read before the last one"
            raise recorder.refuse("SNN112", said)
        self._fix(entry.at + 1, f"reading the sum of {entry.node} over steps 0 to {entry.at}")
        with self.call(()):
            recorder.bind(tensor, self._over_time("sum", entry.node), entry.axes)

    def adds_up(self, x: object, y: object) -> Tracked | None:
        """The next partial sum, when ``x`` + ``y`` is one: of steps 0 to t − 1, and step t."""
        recorder = self._recorder
        if not (recorder.is_tracked(x) and recorder.is_tracked(y)):
            return None
        assert isinstance(x, torch.Tensor)
        assert isinstance(y, torch.Tensor)
        pair = recorder.tracked(x), recorder.tracked(y)
        for so_far, now in (pair, pair[::-1]):
            if so_far.at is None or now.at != so_far.at + 1 or now.summed:
                continue
            partial = so_far.node if so_far.summed else self._bare(so_far.node)
            if (so_far.summed or so_far.at == 0) and partial == now.node:
                return now
        return None

    def _bare(self, name: str) -> str:
        """Without the zero that a sum starts from."""
        recorder = self._recorder
        node = recorder.nodes[name]
        if not isinstance(node.op, Elementwise) or node.op.function != "add":
            return name
        zeros = [n for n in node.inputs if _is_zero(recorder.nodes[n], recorder.tensors)]
        others = [n for n in node.inputs if n not in zeros]
        same = others and recorder.nodes[others[0]].signal.shape == node.signal.shape
        return others[0] if zeros and same else name

    def final(self, tensor: torch.Tensor) -> None:
        """``tensor`` leaves forward: a sum of all steps, or the last one."""
        recorder, entry = self._recorder, self._recorder.tracked(tensor)
        if entry.summed:
            self.total(tensor)
        elif entry.at is not None:
            self._fix(entry.at + 1, f"returning step {entry.at} of {entry.node}")
            with self.call(()):
                recorder.bind(tensor, self._over_time("last", entry.node), entry.axes)

    def finish(self, heads: Collection[str]) -> None:
        """Every step did everything that ``heads`` need; drop what they do not and no step ended.

        Raises SnnccError: SNN306 for a neuron of one step that was called once, SNN318.
        """
        recorder, visits = self._recorder, self._visits
        for path, (name, _) in self._neurons.items():
            if visits[name] == 1 and not self._given:
                raise refuse("SNN306", single_step(path), recorder.nodes[name].origin)
        steps = recorder.steps or max(visits.values(), default=0)
        if visits:
            recorder.steps = steps
        needed = backward(recorder.nodes, heads)
        early = self._all_but_last(needed, set(heads), steps)
        for name in recorder.nodes:
            if name in needed and name not in early and visits.get(name, steps) != steps:
                said = f"{name} runs in {visits[name]} steps, and what is returned is of {steps}"
                raise refuse("SNN318", said + self._why(), recorder.nodes[name].origin)
        self._check_circles(needed)
        read = {source for node in recorder.nodes.values() for source in node.inputs} | set(heads)
        gone = {n.name for n in recorder.nodes.values() if isinstance(n.op, Constant)} - read
        for node in list(recorder.nodes.values()):
            partial = visits.get(node.name, steps) != steps or isinstance(node.op, Membrane)
            if node.name not in needed and (partial or not gone.isdisjoint(node.inputs)):
                gone.add(node.name)
        for name in gone:
            del recorder.nodes[name]

    def _check_circles(self, needed: Collection[str]) -> None:
        """What feeds back passes a neuron; a leaky sum, say, does not."""
        nodes = self._recorder.nodes
        for delay in self._delays.values():
            seen: set[str] = set()
            pending = list(nodes[delay].inputs) if delay in needed else []
            while pending:
                name = pending.pop()
                if name == delay:
                    said = f"{nodes[delay].inputs[0]} feeds back to itself without a neuron between"
                    raise refuse("SNN112", said, nodes[delay].origin)
                if name not in seen and not isinstance(nodes[name].op, Spiking):
                    seen.add(name)
                    pending.extend(nodes[name].inputs)

    def _all_but_last(
        self, needed: Collection[str], heads: Collection[str], steps: int
    ) -> set[str]:
        """Nodes that the last step leaves out because only a next one would read them."""
        nodes = self._recorder.nodes
        early = {n for n in needed if self._visits.get(n) == steps - 1 and n not in heads}
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


def together(recorder: Recorder, call: Call) -> bool:
    """Whether ``call`` joined several steps into one value, which then is bound."""
    loop = recorder.loop
    match call.name:
        case "stack" | "cat" | "concat" | "concatenate":
            dim = int(call["dim"] or 0) % call.result.dim()
            parts = list(call["tensors"])
            if call.name != "stack" and loop.differ(parts, dim):
                return False
            entry = loop.stacked(parts)
            if entry is None:
                return False
            axes = list(entry.axes)
            if call.name == "stack":
                axes.insert(dim, "T")
            elif axes[dim] in ("1", "N"):
                axes[dim] = "T" if axes[dim] == "1" else "TN"
            else:
                raise recorder.refuse("SNN112", "steps are joined along a feature")
            recorder.place(call.result, entry.node, tuple(axes))
            return True
        case "add" | "radd":
            entry = loop.adds_up(call["input"], call["other"])
            if entry is None or call.get("alpha", 1) != 1:
                return False
            recorder.place(call.result, entry.node, entry.axes, entry.at, summed=True)
            return True
    return False


def _words(op: Op) -> str:
    return op.function if isinstance(op, Elementwise) else type(op).__name__.lower()


def _is_zero(node: Node, tensors: Mapping[str, np.ndarray]) -> bool:
    if not isinstance(node.op, Constant):
        return False
    value = node.op.value
    return not tensors[value].any() if isinstance(value, Ref) else value == 0
