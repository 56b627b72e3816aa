"""Neurons as leaves of a recording: their forward runs unseen, and what it means is in a table."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

from snncc.diagnostics import SnnccError
from snncc.frontends.neurons import NeuronModule, is_registered
from snncc.frontends.torch.axes import Axes, features
from snncc.frontends.torch.builder import Builder
from snncc.frontends.torch.draft import joined
from snncc.frontends.torch.firing import each_step, fire_in_levels, one_later, spikes_of
from snncc.frontends.torch.loops import Loop, single_step
from snncc.frontends.torch.tracked import Tracked
from snncc.frontends.torch.unread import stand_for
from snncc.ir.interpreter import TensorStore, fire_as_written
from snncc.ir.ops import Elementwise, Membrane, Op, Ref, Scale
from snncc.ir.shapes import Shape

STEPS = 12
"""So many steps a neuron of one step runs to see whether its reading is right."""

OpType = TypeVar("OpType", bound=Op)


@dataclass(frozen=True)
class State:
    """The membrane of neuron ``path`` after step ``at``: ``op`` on ``current``, if it is read."""

    path: str
    op: Membrane
    current: str
    axes: Axes
    at: int | None


class Neurons:
    """The calls of neurons in one recording, and the states they leave."""

    def __init__(self, builder: Builder, loop: Loop) -> None:
        self._builder, self._loop = builder, loop
        self._calls: dict[int, int] = {}
        self._held: dict[int, tuple[tuple[int, int], ...]] = {}

    def leaf(self, module: nn.Module, path: str, reading: NeuronModule) -> Callable[..., Any]:
        """The forward that takes the place of the module's own."""
        original, builder = module.forward, self._builder
        doubtful = reading.doubtful or is_registered(module)
        twin = copy.deepcopy(module) if doubtful else None
        in_loop = reading.keeps_state and not reading.multi_step and not builder.single_step

        def forward(x: torch.Tensor, *given: Any, **named: Any) -> Any:
            if builder.inside_leaf:
                return original(x, *given, **named)
            try:
                return called(x, *given, **named)
            except SnnccError as error:
                if in_loop:
                    raise
                return stand_for(builder, error, original, (x, *given), named, fires=True)

        def called(x: torch.Tensor, *given: Any, **named: Any) -> Any:
            if not builder.is_tracked(x):
                what = (
                    "what cannot be recorded" if builder.is_foreign(x) else "nothing of the input"
                )
                nothing = builder.refuse("SNN311", f"neuron {path} reads {what}")
                raise builder.why_lost(x) or nothing
            call = self._calls.get(id(module), 0)
            self._calls[id(module)] = call + 1
            if call and reading.keeps_state and not in_loop:
                said = f"neuron {path} is called again before its state is reset"
                raise builder.refuse("SNN309", said)
            taken = dict(zip(reading.states, given, strict=False)) | named
            self._check(module, path, reading, taken, call)
            self._loop.settle(x)
            at = call if in_loop else None
            with builder.unseen():
                if twin is not None and not call:
                    self._believe(twin, x, path, reading)
                y = original(x, *given, **named)
                current, axes = self._spike(x, spikes_of(y), path, reading, at)
            self._keep(module, path, reading, current, axes, at)
            return y

        return forward

    def _spike(
        self, x: torch.Tensor, y: torch.Tensor, path: str, reading: NeuronModule, at: int | None
    ) -> tuple[str, Axes]:
        """Bind the spikes of a call, the ``at``-th of a loop; returns the current it took."""
        builder, loop = self._builder, self._loop
        entry = builder.tracked(x)
        static = builder.nodes[entry.node].signal.rate != "step"
        step = at if entry.at is not None or static else None
        with builder.numbering.call([entry], step):
            node, axes = builder.solid(x)
            has_time = axes[:1] == ("T",)
            if reading.multi_step and not has_time:
                if builder.nodes[node].signal.rate == "final":
                    said = f"neuron {path} reads a value of all time steps"
                    raise builder.refuse("SNN112", said)
                said = f"neuron {path} is multi-step, but its input has no time axis in front"
                raise builder.refuse("SNN306", said)
            alone = step is not None or builder.single_step
            if not reading.multi_step and (not alone or any("T" in role for role in axes)):
                raise builder.refuse("SNN306", single_step(path))
            for ref, array in reading.tensors.items():
                builder.array(np.asarray(array), "", joined(path, ref))
            shape = features(axes, y.shape)
            for op in reading.before:
                node = builder.emit(rooted(op, path), [node], shape, axes, what="in", suffix=".in")
            if reading.recurrent:
                node = self._fed_back(reading, path, node, shape, axes)
            name = self._levels(reading, path, entry, node, shape, axes, step)
            for op in reading.after:
                op = rooted(op, path)
                name = builder.emit(op, [name], shape, axes, what="out", suffix=".out")
            if reading.recurrent:
                loop.feeds(path, name)
            builder.bind(y, name, axes)
        return node, axes

    def _fed_back(
        self, reading: NeuronModule, path: str, node: str, shape: Shape, axes: Axes
    ) -> str:
        """The current ``node`` and what the neuron's own spikes of the step before add to it."""
        builder = self._builder
        name = self._loop.fed_back(path, axes, shape)
        for op in reading.recurrent:
            name = builder.emit(
                rooted(op, path), [name], shape, axes, what="recurrent", suffix=".recurrent"
            )
        return builder.emit(
            Elementwise("add"), [node, name], shape, axes, what="current", suffix=".current"
        )

    def _levels(
        self, reading: NeuronModule, path: str, entry: Tracked, node: str, shape: Shape,
        axes: Axes, step: int | None,
    ) -> str:  # fmt: skip
        """The node of the neuron's spikes, or of the sum of its levels'."""
        builder, loop = self._builder, self._loop
        total: str | None = None
        for number, (level, height) in enumerate(
            zip(reading.levels, reading.heights, strict=True), 1
        ):
            suffix = f".level{number}" if len(reading.levels) > 1 else ""
            name = None if step is None else loop.neuron(path + suffix, entry, node, step)
            if name is None:
                op = rooted(level, path)
                name = builder.emit(op, [node], shape, axes, rate="step", what="sn", suffix=suffix)
                if step is not None:
                    loop.made_neuron(path + suffix, name, node)
            if height != 1:
                name = builder.emit(
                    Scale(height), [name], shape, axes, what="height", suffix=f"{suffix}.height"
                )
            total = name if total is None else builder.emit(
                Elementwise("add"), [total, name], shape, axes, what="sum", suffix=".sum"
            )  # fmt: skip
        assert total is not None
        return total

    def _believe(self, twin: nn.Module, x: torch.Tensor, path: str, reading: NeuronModule) -> None:
        """Raise SnnccError (SNN319) unless ``twin`` spikes as its reading says, on random currents.

        Step 0 of a sample lies exactly on the threshold of one level, where > and ≥ differ.
        """
        steps = x.shape[:1] if reading.multi_step else (STEPS,)
        size = x.shape[1:] if reading.multi_step else x.shape
        store = TensorStore(reading.tensors, x.dtype)
        source = torch.Generator().manual_seed(0)
        noise = torch.rand((*steps, *size), generator=source, dtype=torch.float64).to(x.dtype)
        bounds = [store.number(level.threshold).expand(size[1:]) for level in reading.levels]
        current = (4 * noise - 1) * torch.stack([b.abs() for b in bounds]).amax(0)
        for sample in range(size[0] // 2):
            current[0, sample] = bounds[sample % len(bounds)]
        with torch.no_grad():
            if reading.multi_step:
                given = spikes_of(twin(current.clone()))
            else:
                given = self._step_by_step(twin, current, path, reading, store)
            if reading.recurrent:
                back = each_step(reading.recurrent, one_later(given), store)
                current = each_step(reading.before, current, store) + back
                reading = replace(reading, before=())
            expected = fire_in_levels(reading, current, store)
        if given.shape != expected.shape:
            said = f"yields shape {tuple(given.shape[1:])} for {tuple(expected.shape[1:])}"
            raise self._builder.refuse("SNN319", f"neuron {path} {said}")
        differing = (given.to(expected.dtype) != expected).nonzero()
        if len(differing):
            step, sample, *neuron = index = tuple(differing[0].tolist())
            said = (
                f"neuron {path} yields {float(given[index]):g} and its reading "
                f"{float(expected[index]):g} in step {step}, neuron ({', '.join(map(str, neuron))})"
            )
            raise self._builder.refuse("SNN319", said)

    def _step_by_step(
        self, twin: nn.Module, current: torch.Tensor, path: str, reading: NeuronModule,
        store: TensorStore,
    ) -> torch.Tensor:  # fmt: skip
        """The spikes of a neuron of one step; raises SNN319 where it shows another membrane."""
        states: dict[str, list[Any]] = {name: [] for name in reading.shown}
        given = []
        for step in current:
            given.append(spikes_of(twin(step.clone())))
            for name, values in states.items():
                values.append(getattr(twin, name))
        taken = each_step(reading.before, current, store)
        if reading.recurrent:
            taken = taken + each_step(reading.recurrent, one_later(torch.stack(given)), store)
        for name, op in reading.shown.items():
            seen = torch.stack(states[name])
            if not torch.allclose(seen, fire_as_written(op, taken, store), atol=1e-5):
                said = f"neuron {path} leaves another {name} than its reading"
                raise self._builder.refuse("SNN319", said)
        return torch.stack(given)

    # -- states --------------------------------------------------------------------------------

    def _check(
        self, module: nn.Module, path: str, reading: NeuronModule, taken: Mapping[str, Any],
        call: int,
    ) -> None:  # fmt: skip
        """A neuron starts at rest, then goes on from the state that its last call left."""
        held = self._held.get(id(module))
        for place, name in enumerate(reading.states):
            state = taken.get(name)
            state = getattr(module, name, None) if state is None else state
            if held is not None:
                kept = _identity(state) == held[place]
                if not kept and not self._is_copy(state, path, reading.shown.get(name), call):
                    said = f"neuron {path} does not go on from the {name} its last call left"
                    raise self._builder.refuse("SNN309", said)
            elif isinstance(state, torch.Tensor):
                with torch._C.DisableTorchFunction():
                    rests = not self._builder.is_tracked(state) and not bool(state.any())
                if not rests:
                    said = f"neuron {path} starts with a {name} of its own"
                    raise self._builder.refuse("SNN110", said)

    def _is_copy(self, state: object, path: str, op: Op | None, call: int) -> bool:
        """Whether ``state`` is a copy of the membrane that the last call left."""
        if op is None or not self._builder.is_tracked(state):
            return False
        assert isinstance(state, torch.Tensor)
        entry = self._builder.tracked(state)
        return self._builder.nodes[entry.node].op == rooted(op, path) and entry.at == call - 1

    def _keep(
        self, module: nn.Module, path: str, reading: NeuronModule, current: str, axes: Axes,
        at: int | None,
    ) -> None:  # fmt: skip
        """Note the states that a call left, and what they mean in case they are read."""
        builder = self._builder
        states = [getattr(module, name, None) for name in reading.states]
        self._held[id(module)] = tuple(map(_identity, states))
        for name, state in zip(reading.states, states, strict=True):
            if not isinstance(state, torch.Tensor) or builder.is_tracked(state):
                continue
            builder.keep_alive(state)
            if name in reading.shown:
                op = rooted(reading.shown[name], path)
                left = State(path, op, current, axes, at)
                builder.show_when_read(state, partial(self._show, left))
            else:
                builder.lose(state, builder.refuse("SNN301", f"the {name} of {path} is read"))

    def _show(self, state: State, tensor: torch.Tensor) -> None:
        """A membrane is read: from now on it is a node."""
        builder = self._builder
        signal = builder.nodes[state.current].signal
        current = Tracked(state.current, state.axes, 0, at=state.at)
        entries = [current] if signal.rate == "step" else []
        with builder.within(state.path), builder.numbering.call(entries, state.at):
            node = builder.emit(
                state.op, [state.current], signal.shape, state.axes, "step", "mem", suffix=".mem"
            )
            builder.place(tensor, node, state.axes, state.at)


def rooted(op: OpType, path: str) -> OpType:
    """``op`` with the tensors of a module under their names in the whole."""
    values = {f.name: getattr(op, f.name) for f in fields(op)}
    refs = {k: Ref(joined(path, v)) for k, v in values.items() if isinstance(v, Ref)}
    return replace(op, **refs)


def _identity(state: object) -> tuple[int, int]:
    """What tells a state from any other that lives, and from itself once it is written to."""
    with torch._C.DisableTorchFunction():
        return id(state), state._version if isinstance(state, torch.Tensor) else 0
