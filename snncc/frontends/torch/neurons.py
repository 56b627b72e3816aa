"""Neurons as leaves of a recording: their forward runs unseen, and what it means is in a table."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

from snncc.diagnostics import SnnccError
from snncc.frontends.layout import is_layout, roles
from snncc.frontends.neurons import Convert, NeuronModule, is_registered, qualified_name
from snncc.frontends.torch.axes import Axes, features
from snncc.frontends.torch.builder import Builder
from snncc.frontends.torch.draft import joined
from snncc.frontends.torch.firing import input_first, spikes_of
from snncc.frontends.torch.flow import Flow, Used
from snncc.frontends.torch.loops import Loop, single_step
from snncc.frontends.torch.tracked import Tracked, tensors_in
from snncc.frontends.torch.trial import Misread, Trial, step_fault
from snncc.frontends.torch.unread import stand_for
from snncc.ir.ops import Elementwise, Membrane, Op, Ref, Scale, Spiking
from snncc.ir.shapes import Shape

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

    def __init__(self, builder: Builder, loop: Loop, tried: bool = True) -> None:
        self._builder, self._loop, self._tried = builder, loop, tried
        self._calls: dict[int, int] = {}
        self._held: dict[int, tuple[tuple[int, int], ...]] = {}
        self._convert: dict[int, Convert] = {}
        self._readings: dict[int, NeuronModule] = {}
        self._started: dict[int, float | np.ndarray] = {}

    def leaf(self, module: nn.Module, path: str, convert: Convert) -> Callable[..., Any]:
        """The forward that takes the place of the module's own."""
        original, builder = module.forward, self._builder
        self._convert[id(module)] = convert

        def forward(*all_given: Any, **all_named: Any) -> Any:
            if builder.inside_leaf:
                return original(*all_given, **all_named)
            x, given, named = input_first(original, all_given, all_named)
            reading: NeuronModule | None = None
            try:
                with builder.unseen():
                    reading = self._read(module, path)
                self._check_own(module, path, reading, given, named)
                return called(reading, x, *given, **named)
            except SnnccError as error:
                if reading is not None and in_loop(reading):
                    raise
                return stand_for(builder, error, original, (x, *given), named, fires=True)

        def in_loop(reading: NeuronModule) -> bool:
            return reading.keeps_state and not reading.multi_step and not builder.single_step

        def called(reading: NeuronModule, x: torch.Tensor, *given: Any, **named: Any) -> Any:
            if not builder.is_tracked(x):
                what = (
                    "what cannot be recorded" if builder.is_foreign(x) else "nothing of the input"
                )
                nothing = builder.refuse("SNN311", f"neuron {path} reads {what}")
                lost = builder.is_foreign(x) or builder.why_lost(x) is not None
                if lost or not in_loop(reading) or not self._may_start(module, reading):
                    raise builder.why_lost(x) or nothing
                return self._start(module, path, reading, original, x, given, named)
            call = self._calls.get(id(module), 0)
            self._calls[id(module)] = call + 1
            if call and reading.keeps_state and not in_loop(reading):
                said = f"neuron {path} is called again before its state is reset"
                raise builder.refuse("SNN309", said)
            reading = self._begun(module, reading)
            if reading.keeps_state:
                self._check_same(module, path, reading)
            taken = dict(zip(reading.states, given, strict=False)) | named
            self._check(module, path, reading, taken, call)
            self._loop.settle(x)
            at = call if in_loop(reading) else None
            with builder.unseen():
                self._check_order(x, path, reading)
                first = not call and id(module) not in self._started
                if self._tried and (first or not reading.keeps_state):
                    self._try(module, path, reading, x, given, named)
                y = self._run(original, path, x, given, named)
                current, axes = self._spike(x, spikes_of(y), path, reading, at)
            self._keep(module, path, reading, current, axes, at)
            return y

        return forward

    def _may_start(self, module: nn.Module, reading: NeuronModule) -> bool:
        """Whether a call on a constant only gives the neuron another first membrane."""
        parts = (reading.before, reading.after, reading.recurrent, reading.tensors, reading.shown)
        plain = isinstance(reading.spiking, Spiking) and not any(parts)
        return plain and len(reading.states) == 1 and not self._calls.get(id(module))

    def _start(
        self, module: nn.Module, path: str, reading: NeuronModule, original: Callable[..., Any],
        x: torch.Tensor, given: Sequence[Any], named: Mapping[str, Any],
    ) -> Any:  # fmt: skip
        """Run the neuron on a constant; its membrane is what it starts from. Raises SNN311."""
        builder, (state,) = self._builder, reading.states
        taken: dict[str, Any] = dict(zip(reading.states, given, strict=False))
        taken |= named
        self._check(module, path, reading, taken, 0)
        with builder.unseen():
            if self._tried and id(module) not in self._started:
                self._try(module, path, reading, x, given, named)
            y = original(x, *given, **named)
            membrane = getattr(module, state)
            whole = isinstance(membrane, torch.Tensor) and membrane.shape == x.shape
            alike = whole and all(bool((each == each[:1]).all()) for each in (x, membrane))
            if not alike:
                said = f"neuron {path} is started by a constant that differs from sample to sample"
                raise builder.refuse("SNN311", said)
            first = membrane[0].detach().double().numpy()
        builder.remember(y)
        same = bool((first == first.flat[0]).all())
        self._started[id(module)] = float(first.flat[0]) if same else first.copy()
        self._held[id(module)] = (_identity(membrane),)
        builder.keep_alive(membrane)
        return y

    def _begun(self, module: nn.Module, reading: NeuronModule) -> NeuronModule:
        """``reading``, with the membrane that calls on constants left before the loop."""
        first = self._started.get(id(module))
        if first is None or not isinstance(reading.spiking, Spiking):
            return reading
        if isinstance(first, float):
            return replace(reading, spiking=replace(reading.spiking, initial=first))
        spiking = replace(reading.spiking, initial=Ref("initial"))
        return replace(reading, spiking=spiking, tensors={"initial": first})

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

    def _check_order(self, x: torch.Tensor, path: str, reading: NeuronModule) -> None:
        """Raise SnnccError (SNN112, SNN306) unless the axes of ``x`` are in the order it takes."""
        builder = self._builder
        entry = builder.tracked(x)
        axes = tuple("F" if role == "1" else role for role in entry.axes)
        if reading.multi_step and not _takes(reading, axes):
            if builder.nodes[entry.node].signal.rate == "final":
                said = f"neuron {path} reads a value of all time steps"
                raise builder.refuse("SNN112", said)
            place = "in front" if reading.layout == "TN" else f"as in {reading.layout}"
            said = f"neuron {path} is multi-step, but its input has no time axis {place}"
            raise builder.refuse("SNN306", said)
        alike = not (reading.tensors or reading.before or reading.after or reading.recurrent)
        if not (reading.multi_step or alike) and "N" in axes[1:]:
            said = f"neuron {path} takes (N, …), and the samples are in axis {axes.index('N')}"
            raise builder.refuse("SNN306", said)

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

    def _try(
        self, module: nn.Module, path: str, reading: NeuronModule, x: torch.Tensor,
        given: Sequence[Any], named: Mapping[str, Any],
    ) -> None:  # fmt: skip
        """Raise SnnccError (SNN319) unless a copy spikes as its reading says, on drawn currents."""
        twin, sized = _copy(module), is_registered(module)
        try:
            Trial(twin, reading, x, given, named, sized).run()
        except Misread as error:
            raise self._builder.refuse("SNN319", f"neuron {path} {error}") from None
        except Exception as error:
            said = f"{type(error).__name__}: {str(error).strip() or 'no message'}".splitlines()[0]
            raise self._builder.refuse(
                "SNN319", f"neuron {path} cannot be tried on drawn currents: it raises {said}"
            ) from None

    def _run(
        self, original: Callable[..., Any], path: str, x: torch.Tensor, given: Sequence[Any],
        named: Mapping[str, Any],
    ) -> Any:  # fmt: skip
        """What the neuron yields. Refuses one that makes a Python value of what it was given."""
        if not self._tried:
            return original(x, *given, **named)
        flow = Flow({}, ())
        flow.mark(x, "input")
        try:
            with torch._C._EnableTorchFunction(), flow:
                return original(x, *given, **named)
        except Used:
            said = f"neuron {path} turns data of the run into a Python value"
            raise self._builder.refuse("SNN302", said) from None

    # -- what it is ----------------------------------------------------------------------------

    def _read(self, module: nn.Module, path: str) -> NeuronModule:
        """What the neuron is at this call. Raises SnnccError (SNN110, SNN319)."""
        builder = self._builder
        if name := replaced_method(module):
            said = f"method `{name}` of neuron {path} is replaced on the instance"
            raise builder.refuse("SNN110", said)
        before = dict(vars(module))
        try:
            reading = self._convert[id(module)](module)
        except SnnccError as error:
            place = builder.here()
            raise SnnccError(replace(f, location=place) for f in error.findings) from None
        except Exception as error:
            name = qualified_name(type(module))
            said = f"{type(error).__name__}: {str(error).strip() or 'no message'}".splitlines()[0]
            if not is_registered(module):
                said = (
                    f"neuron {path}, a {name}, has parameters without an exact form here ({said})"
                )
                raise builder.refuse("SNN110", said) from None
            raise builder.refuse(
                "SNN319", f"the reading of {name} that was registered raises {said}"
            ) from None
        if vars(module).keys() != before.keys() or any(
            vars(module)[name] is not value for name, value in before.items()
        ):
            said = f"the reading of {qualified_name(type(module))} changes the module that it reads"
            raise builder.refuse("SNN319", said)
        if fault := step_fault(reading, torch.get_default_dtype()):
            name = getattr(reading.step, "__qualname__", "") or type(reading.step).__qualname__
            said = f"the step function `{name}` of neuron {path} {fault}"
            raise builder.refuse("SNN110", said)
        return reading

    def _check_own(
        self, module: nn.Module, path: str, reading: NeuronModule, given: Sequence[Any],
        named: Mapping[str, Any],
    ) -> None:  # fmt: skip
        """What a neuron is made of, its states aside, does not depend on the input."""
        builder, states = self._builder, reading.states
        held = {**module._parameters, **module._buffers, **vars(module)}
        own = {
            name: value for name, value in held.items()
            if name not in states and (isinstance(value, torch.Tensor) or name[:1] != "_")
        }  # fmt: skip
        own |= {name: value for name, value in named.items() if name not in states}
        for name, value in (*own.items(), *(("", v) for v in given[len(states) :])):
            for tensor in tensors_in(value):
                if builder.is_tracked(tensor) or builder.why_lost(tensor) is not None:
                    what = f"`{name}`" if name else "an argument"
                    said = f"{what} of neuron {path} is computed from the input"
                    raise builder.refuse("SNN110", said)

    def _check_same(self, module: nn.Module, path: str, reading: NeuronModule) -> None:
        """A neuron whose state goes on is the same at every call."""
        first = self._readings.setdefault(id(module), reading)
        if changed := differences(first, reading):
            what, before, now = changed[0]
            said = f"neuron {path} has {what} {before} in one step and {now} in another"
            raise self._builder.refuse("SNN318", said)

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
            elif not self._rests(state, reading):
                said = f"neuron {path} starts with a {name} of its own"
                raise self._builder.refuse("SNN110", said)

    def _rests(self, state: object, reading: NeuronModule) -> bool:
        """Whether a first state is what the reading starts from."""
        if isinstance(state, torch.Tensor):
            with torch._C.DisableTorchFunction():
                own = not self._builder.is_tracked(state) and self._builder.why_lost(state) is None
                return own and not bool(state.any())
        number = isinstance(state, int | float)
        return not number or state == 0 or any(state == level.initial for level in reading.levels)

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
        if builder.unrolled:
            said = f"the membrane of {state.path} is read in a loop whose steps are not the input's"
            raise builder.refuse("SNN318", said)
        signal = builder.nodes[state.current].signal
        current = Tracked(state.current, state.axes, 0, at=state.at)
        entries = [current] if signal.rate == "step" else []
        with builder.within(state.path), builder.numbering.call(entries, state.at):
            node = builder.emit(
                state.op, [state.current], signal.shape, state.axes, "step", "mem", suffix=".mem"
            )
            builder.place(tensor, node, state.axes, state.at)


def _takes(reading: NeuronModule, axes: Axes) -> bool:
    """Whether a multi-step neuron takes its input in this order.

    Where it is the same neuron at each place, only time must be where it is looked for.
    """
    if not is_layout(reading.layout) or "T" not in reading.layout or "T" not in axes:
        return False
    try:
        wanted = roles(reading.layout, len(axes))
    except SnnccError:
        return False
    alike = not (reading.tensors or reading.before or reading.after or reading.recurrent)
    return axes == wanted or (alike and axes.index("T") == wanted.index("T"))


def rooted(op: OpType, path: str) -> OpType:
    """``op`` with the tensors of a module under their names in the whole."""
    values = {f.name: getattr(op, f.name) for f in fields(op)}
    refs = {k: Ref(joined(path, v)) for k, v in values.items() if isinstance(v, Ref)}
    return replace(op, **refs)


def replaced_method(module: nn.Module) -> str | None:
    """The name of a method of the class that the instance has its own of, if there is one."""
    for name, value in vars(module).items():
        if name != "forward" and callable(value) and callable(getattr(type(module), name, None)):
            return name
    return None


def differences(one: NeuronModule, two: NeuronModule) -> list[tuple[str, object, object]]:
    """What differs between two readings of a module: its name, and both values."""
    found: list[tuple[str, object, object]] = []
    for first, second in zip(one.levels, two.levels, strict=False):
        found += [
            (field.name, getattr(first, field.name), getattr(second, field.name))
            for field in fields(first)
            if getattr(first, field.name) != getattr(second, field.name)
        ]
    for name in one.tensors.keys() | two.tensors.keys():
        if not np.array_equal(one.tensors.get(name, 0), two.tensors.get(name, 0)):
            found.append((name, "of other values", "changed ones"))
    plain = ("multi_step", "layout", "keeps_state", "before", "after", "recurrent", "heights")
    found += [(name, getattr(one, name), getattr(two, name)) for name in plain
              if getattr(one, name) != getattr(two, name)]  # fmt: skip
    return found


def _copy(module: nn.Module) -> nn.Module:
    """A copy of a neuron with its own forward, without the hooks around it."""
    ours = vars(module).pop("forward")
    try:
        twin = copy.deepcopy(module)
    finally:
        object.__setattr__(module, "forward", ours)
    twin._forward_hooks.clear()
    twin._forward_pre_hooks.clear()
    return twin


def _identity(state: object) -> tuple[int, int]:
    """What tells a state from any other that lives, and from itself once it is written to."""
    with torch._C.DisableTorchFunction():
        return id(state), state._version if isinstance(state, torch.Tensor) else 0
