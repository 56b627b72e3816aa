"""Building a Graph while torch runs: which node each tensor is, and the next node."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import torch

from snncc.diagnostics import Location, SnnccError, refuse
from snncc.frontends.torch.axes import Axes, features, without_time
from snncc.frontends.torch.draft import Draft, joined
from snncc.frontends.torch.notes import Notes
from snncc.frontends.torch.numbering import Apart, Numbering
from snncc.frontends.torch.replay import value_of
from snncc.frontends.torch.tracked import Tracked, tensors_in
from snncc.ir.graph import Node, Rate, Signal
from snncc.ir.ops import (
    AllSteps,
    AtStep,
    Constant,
    Dynamics,
    Elementwise,
    Input,
    Op,
    OverTime,
    Ref,
    Reshape,
)

OF_NEURONS = frozenset({
    "sn", "in", "out", "recurrent", "current", "height", "sum", "mem", "unread",
})  # fmt: skip
"""What the nodes that stand for a neuron are."""


class Builder(Draft):
    """A draft whose nodes come from tensors of a run.

    ``known`` are tensors that existed before the run, by the names they get. What is wrong is in
    ``notes``. Of the nodes in ``noted`` the values are kept, by step; of all spikes while it is
    ``noting``. ``unrolled``: every step of a loop over time is written down by itself.
    """

    def __init__(
        self,
        known: Mapping[str, torch.Tensor],
        samples: int,
        steps: int | None,
        single_step: bool,
        notes: Notes,
        unrolled: bool = False,
    ) -> None:
        super().__init__(samples, steps, single_step)
        self.notes, self.unrolled = notes, unrolled
        self.numbering = Apart(self) if unrolled else Numbering(self)
        self._known = {id(tensor): name for name, tensor in known.items()}
        self._versions = {id(tensor): tensor._version for tensor in known.values()}
        self._rewritten: dict[int, int] = {}
        self._filled: set[int] = set()
        self._exposed: set[int] = set()
        self._unusable: dict[int, SnnccError] = {}
        self._tracked: dict[int, Tracked] = {}
        self._unshown: dict[int, Callable[[torch.Tensor], None]] = {}
        self._alive: list[torch.Tensor] = []
        self._written_at: dict[int, Location] = {}
        self._watched: dict[int, weakref.ref[torch.Tensor]] = {}
        self.neuron_names: frozenset[str] = frozenset()
        self._leaves: frozenset[str] = frozenset()
        self.fires: frozenset[str] = frozenset()
        self.noted: dict[str, dict[int | None, torch.Tensor]] = {}
        self.noting = False

    # -- tensors that depend on the input --------------------------------------------------

    def is_tracked(self, value: object) -> bool:
        return isinstance(value, torch.Tensor) and (
            id(value) in self._tracked or id(value) in self._unshown
        )

    def tracked(self, tensor: torch.Tensor) -> Tracked:
        """What ``tensor`` is; refuses one written to behind the recording's back."""
        show = self._unshown.pop(id(tensor), None)
        if show is not None:
            show(tensor)
        entry = self._tracked[id(tensor)]
        if entry.version != tensor._version:
            said = "a tensor was written to through another view of it"
            raise refuse("SNN310", said, self._written_at.get(_storage(tensor)) or self.here())
        return entry

    def signal(self, tensor: torch.Tensor) -> Signal:
        return self.nodes[self.tracked(tensor).node].signal

    def bind(self, tensor: torch.Tensor, node: str, axes: Axes, through_data: bool = False) -> None:
        """From now on ``tensor`` is ``node``, at the step of this call if it is in a loop."""
        at = self.numbering.at if self.nodes[node].signal.rate == "step" else None
        self.place(tensor, node, axes, at, through_data)

    def place(
        self, tensor: torch.Tensor, node: str, axes: Axes, at: int | None = None,
        through_data: bool = False, summed: bool = False,
    ) -> None:  # fmt: skip
        """From now on ``tensor`` is ``node``: all of it, one step, or the sum up to one."""
        if len(axes) != tensor.dim():
            raise self.refuse("SNN301", f"axes {axes} do not describe shape {tuple(tensor.shape)}")
        if self.unrolled and at is not None:
            node, at = self.at_step(node, at), None
        self._watch(tensor)
        self._tracked[id(tensor)] = Tracked(node, axes, tensor._version, through_data, at, summed)
        if not summed and (node in self.noted or self.noting):
            self._note(node, tensor, axes, at)

    def _note(self, node: str, tensor: torch.Tensor, axes: Axes, at: int | None) -> None:
        """Keep what a node is: spikes, where nobody knows yet which are asked for."""
        if node not in self.noted and not isinstance(self.nodes[node].op, Elementwise):
            return
        value = value_of(tensor, axes, self.steps, self.samples).data
        with torch._C.DisableTorchFunction():
            if node in self.noted:
                self.noted[node][at] = value.clone()
            elif bool(((value == 0) | (value == 1)).all()):
                self.noted[node] = {at: value.to(torch.bool)}

    def show_when_read(self, tensor: torch.Tensor, show: Callable[[torch.Tensor], None]) -> None:
        """Once somebody reads ``tensor``, ``show`` places it."""
        self._unshown[id(tensor)] = show

    def note_write(self, tensor: torch.Tensor) -> None:
        """The code at hand writes to ``tensor``, and so to all views of its memory."""
        self._written_at[_storage(tensor)] = self.here()

    def overlook_write(self, tensor: torch.Tensor) -> None:
        """Written to or not, ``tensor`` is what it was before."""
        entry = self._tracked.get(id(tensor))
        if entry is not None:
            self._tracked[id(tensor)] = replace(entry, version=tensor._version)

    def keep_alive(self, *tensors: torch.Tensor) -> None:
        """Keep their ids from being given to others."""
        self._alive.extend(tensors)

    def _watch(self, tensor: torch.Tensor) -> None:
        """Forget ``tensor`` as soon as nobody has it: another may then get its id."""
        key = id(tensor)
        if key not in self._watched:
            self._watched[key] = weakref.ref(tensor, lambda _: self._forget(key))

    def _forget(self, key: int) -> None:
        for table in (
            self._watched, self._tracked, self._known, self._unusable, self._versions,
        ):  # fmt: skip
            table.pop(key, None)

    # -- other tensors ---------------------------------------------------------------------

    def check_unwritten(self, tensor: torch.Tensor) -> None:
        """Refuse a constant that was written to since it was met, by no recorded call."""
        key = id(tensor)
        if key not in self._known or key in self._tracked or key in self._unusable:
            return
        met = self._versions.setdefault(key, tensor._version)
        filled = bool(self._filled) and _storage(tensor) in self._filled
        if filled or tensor._version not in (met, self._rewritten.get(_storage(tensor))):
            raise refuse(
                "SNN310",
                "a constant was written to through another view of it",
                self._written_at.get(_storage(tensor)) or self.here(),
            )

    def note_fill(self, tensor: torch.Tensor) -> None:
        """A call writes data of the run into a constant: no other tensor of its memory is one.

        Refuses one whose memory is seen from outside of torch, where nobody sees it read.
        """
        if _storage(tensor) in self._exposed:
            said = "the memory of a tensor that is written to is read past torch, as an array say"
            raise self.refuse("SNN310", said)
        self._filled.add(_storage(tensor))
        self.keep_alive(tensor)

    def expose(self, tensor: torch.Tensor) -> None:
        """From now on the memory of a constant can be read past torch."""
        self._exposed.add(_storage(tensor))
        self.keep_alive(tensor)

    def note_rewrite(self, tensor: torch.Tensor) -> None:
        """A call wrote constants into ``tensor``, and so into all views of its memory."""
        self._rewritten[_storage(tensor)] = tensor._version

    def is_known(self, tensor: torch.Tensor) -> bool:
        return id(tensor) in self._known

    def is_foreign(self, tensor: torch.Tensor) -> bool:
        """Whether nobody knows where ``tensor`` comes from."""
        met = self.is_tracked(tensor) or self.is_known(tensor)
        return not met and id(tensor) not in self._unusable

    def remember(self, value: object) -> None:
        """Tensors a call returned without reading the input are constants of the run."""
        for tensor in tensors_in(value):
            if not self.is_known(tensor):
                self._watch(tensor)
                self._known[id(tensor)] = ""
            self._versions.setdefault(id(tensor), tensor._version)

    def ref(self, tensor: torch.Tensor, what: str = "constant") -> Ref:
        """The name of a tensor that does not depend on the input."""
        return self.array(tensor.detach().cpu().numpy(), what, self._name_of(tensor))

    def _name_of(self, tensor: torch.Tensor) -> str:
        if self.is_tracked(tensor):
            raise self.refuse("SNN103", "a weight is computed from the input")
        if not self.is_known(tensor):
            raise self.refuse("SNN311", "a tensor comes from code that cannot be recorded")
        return self._known[id(tensor)]

    def lose(self, tensor: torch.Tensor, error: SnnccError) -> None:
        """``tensor`` has no meaning in a Graph: ``error`` where it joins the rest of the run."""
        self._watch(tensor)
        self._unusable[id(tensor)] = error

    def find(self, tensor: torch.Tensor) -> None:
        """``tensor`` has a meaning again."""
        self._unusable.pop(id(tensor), None)

    def why_lost(self, tensor: torch.Tensor) -> SnnccError | None:
        """Why ``tensor`` has no meaning, if it has none."""
        return self._unusable.get(id(tensor))

    # -- nodes -----------------------------------------------------------------------------

    def emit(
        self,
        op: Op,
        inputs: Sequence[str],
        shape: Sequence[int],
        axes: Axes = (),
        rate: Rate | None = None,
        what: str = "",
        suffix: str = "",
    ) -> str:
        """Add a node; its rate is that of its arguments unless given.

        Its name is that of the module if that has no parts, else with ``what`` behind; then
        ``suffix``. No other op gets the name of a neuron's module, by which spikes are known.
        """
        own = isinstance(op, Constant | Input)
        if not own:
            inputs = self._arguments(op, inputs, rate)
        rates = [self.nodes[name].signal.rate for name in inputs]
        if rate is None:
            rate = self._joint_rate(rates)
        if self.unrolled and isinstance(op, Dynamics) and "step" not in rates:
            rate = "static"  # one call of many
        if not own and (found := self.numbering.find(op, tuple(inputs), rate)):
            return found
        base = what if own else joined(self.module, "" if self._is_leaf(what) else what) + suffix
        if base in self.neuron_names and (own or base != self.module):
            base += ".op"
        name = base if own else self.unique(base)
        if name not in self.nodes:
            stepwise = rate == "step" and self.numbering.at is not None and not own
            signal_axes = ("T", *axes) if stepwise and axes else axes
            signal = Signal(tuple(int(n) for n in shape), rate, axes=signal_axes)
            origin = Location() if own else self.here(applied=True)
            self.nodes[name] = Node(name, op, tuple(inputs), signal, origin)
            if not own:
                self.numbering.made(op, tuple(inputs), name, rate)
        return name

    def at_step(self, name: str, step: int) -> str:
        """The node of one step of a node, where each step is written down."""
        signal = self.nodes[name].signal
        axes = tuple(role for role in signal.axes if role != "T")
        with self.within(name):
            return self.emit(
                AtStep(step), [name], signal.shape, axes, "static", suffix=f".step{step}"
            )

    def all_steps(self, names: Sequence[str], axes: Axes) -> str:
        """The node that has ``names`` as its steps."""
        shape = self.nodes[names[0]].signal.shape
        self.numbering.fix(len(names), f"a list of {len(names)} steps of {names[0]}")
        return self.emit(AllSteps(), names, shape, axes, "step", what="steps")

    def _arguments(self, op: Op, inputs: Sequence[str], rate: Rate | None) -> tuple[str, ...]:
        """``inputs`` of a new op, or their last values where it comes after the loop."""
        inputs = self.numbering.arguments(op, inputs, rate)
        finished = self.numbering.finished if rate != "final" else frozenset()
        return tuple(self.over_time("last", n) if n in finished else n for n in inputs)

    def over_time(self, kind: Literal["last", "sum"], name: str) -> str:
        """The last value of a node, or the sum of all."""
        signal = self.nodes[name].signal
        with self.within(name):
            op, axes = OverTime(kind), without_time(signal.axes)
            return self.emit(op, [name], signal.shape, axes, "final", suffix=f".{kind}")

    def _joint_rate(self, rates: Sequence[Rate]) -> Rate:
        if "final" in rates and "step" in rates:
            raise self.refuse("SNN112", "a value of all steps meets a value of one step")
        return "final" if "final" in rates else "step" if "step" in rates else "static"

    def _is_leaf(self, what: str) -> bool:
        """Whether a node has the name of its module: of a neuron its own nodes, no hook's."""
        hook = self.module in self.fires and what not in OF_NEURONS
        return self.module in self._leaves and not hook

    def number(self, value: float) -> str:
        """A node for a plain number."""
        text = f"{value:g}" if float(f"{value:g}") == value else repr(value)
        return self.emit(Constant(float(value)), (), (), what=f"number:{text}", rate="static")

    def solid(self, tensor: torch.Tensor) -> tuple[str, Axes]:
        """The node of ``tensor`` with placeholder axes turned into features."""
        entry = self.tracked(tensor)
        if "1" not in entry.axes:
            return entry.node, entry.axes
        axes = tuple("F" if role == "1" else role for role in entry.axes)
        shape = features(axes, tensor.shape)
        node = self.emit(Reshape(shape), [entry.node], shape, axes, what="unsqueeze")
        self.bind(tensor, node, axes)
        return node, axes


def _storage(tensor: torch.Tensor) -> int:
    """The same for all views of one memory."""
    with torch._C.DisableTorchFunction():
        return tensor.untyped_storage().data_ptr()
