"""What the module itself does: the other side of every comparison."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Collection, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from snncc.diagnostics import refuse
from snncc.frontends.layout import time_back, time_first
from snncc.frontends.neurons import Convert, NeuronModule, converter
from snncc.frontends.torch.again import keeps_states, noted
from snncc.frontends.torch.axes import Axes
from snncc.frontends.torch.copies import at_rest, private_copy, undisturbed
from snncc.frontends.torch.firing import each_step, input_first, spikes_of
from snncc.frontends.torch.runs import named_outputs
from snncc.frontends.torch.widening import Widened
from snncc.ir.graph import Graph, Node
from snncc.ir.interpreter import TensorStore, Written, run_graph
from snncc.ir.ops import Input


@dataclass(frozen=True)
class Observation:
    """One run of a module in float64.

    ``spikes``: node name of each neuron call to (T, N, …); ``heads``: head name to what the module
    returned, step values as (T, N, …), others as (N, …). ``currents``: what each neuron call was
    given, as (T, N, …), where the neuron takes it as it is. ``graded``: neurons that yielded other
    values than spikes.
    """

    spikes: Mapping[str, torch.Tensor]
    heads: Mapping[str, torch.Tensor]
    currents: Mapping[str, torch.Tensor]
    graded: frozenset[str] = frozenset()


def arrange(inputs: torch.Tensor | np.ndarray, graph: Graph) -> dict[str, torch.Tensor]:
    """User data in the module's layout as the interpreter takes it.

    (T, N, …) where the input changes from step to step, (N, …) where it is static and analog;
    static spikes, and (N, …) for a module of one step, repeat over time. Raises SnnccError
    (SNN306).
    """
    (node,) = graph.inputs
    tensor = torch.as_tensor(inputs)
    axes, shape = node.signal.axes, node.signal.shape
    rank = len(axes)
    single = "T" not in axes
    if single and tensor.dim() == rank + 1 and node.signal.rate == "step":
        arranged = _batch_first(tensor, ("T", *axes))
    elif tensor.dim() == rank:
        arranged = _batch_first(tensor, axes)
        if single and node.signal.rate == "step":
            arranged = arranged.expand(graph.time_steps or 1, *arranged.shape)
    else:
        arranged = tensor
    lead = arranged.dim() - len(shape)
    expected = 2 if node.signal.rate == "step" else 1
    if lead != expected or tuple(arranged.shape[lead:]) != shape or 0 in arranged.shape:
        sizes = iter(shape)
        names = [str(next(sizes)) if role == "F" else role for role in axes]
        wanted = f"({', '.join(names)})"
        raise refuse("SNN306", f"inputs of shape {tuple(tensor.shape)} do not fit {wanted}")
    if node.signal.rate != "step" and node.op != Input("analog"):
        arranged = arranged.expand(graph.time_steps or 1, *arranged.shape)
    return {node.name: arranged.to(torch.float64)}


def check_bound(node: Node, value: torch.Tensor) -> None:
    """Raise SnnccError (SNN312) where a declared count is larger than its value set says.

    What is proved of the network is proved for the members of that set.
    """
    bound = node.signal.values.largest
    counts = isinstance(node.op, Input) and node.op.kind == "count"
    if counts and value.numel() and float(value.max()) > bound:
        raise refuse(
            "SNN312",
            f"the inputs are declared counts, which are proved up to {bound:g}, "
            f"and the largest is {float(value.max()):g}",
            help=f"give counts of at most {bound:g}, or declare the input analog",
        )


def _batch_first(tensor: torch.Tensor, axes: Axes) -> torch.Tensor:
    """Axes to (T, N, features) or (N, features)."""
    return tensor.permute(time_first(axes))


def as_taken(tensor: torch.Tensor, graph: Graph) -> torch.Tensor:
    """(T, N, features) or (N, features) in the module's layout, what `arrange` undoes."""
    (node,) = graph.inputs
    axes = node.signal.axes
    axes = axes if tensor.dim() == len(axes) else ("T", *axes)
    return tensor.permute(time_back(axes))


class Witness:
    """A private copy of a module whose neurons are watched; called as often as one likes.

    ``graph`` is the module's trace: it gives the names, and T for a module of one step, which is
    really called T times. Each call is a run of its own: neurons, and all other parts that have a
    ``reset``, are reset before it. Whatever else the module keeps, it keeps from call to call.
    Code that asks for another device is run ``on_cpu``, which it could notice. ``states``: the
    module computes one step and keeps states of its own, all of them in the Graph.
    ``dtype`` is that of the copy, and ``widened`` says that code which asks for float32 gets
    float64. Neurons are not ``watched`` where only the outputs are wanted. ``outputs`` are those of
    the last call, as the module returned them.
    """

    def __init__(
        self, module: nn.Module, graph: Graph, dtype: torch.dtype = torch.float64,
        *, widened: bool = True, grad: bool = False, watched: bool = True,
        states: bool | None = None, on_cpu: bool = True,
    ) -> None:  # fmt: skip
        self.twin, self._module = private_copy(module, dtype), module
        self.states = keeps_states(module, graph, dtype) if states is None else states
        self._watched, self._on_cpu = watched, on_cpu
        self.graph, self.dtype, self.grad = graph, dtype, grad
        self.widened = widened and dtype == torch.float64
        self._spikes: dict[str, list[torch.Tensor]] = {}
        self._currents: dict[str, list[torch.Tensor]] = {}
        self._calls: dict[str, int] = {}
        self._graded: set[str] = set()
        self._levels: list[Levels] = []
        self._rest: list[tuple[nn.Module, dict[str, Any]]] = []
        self._stepwise: set[str] = set()
        self.outputs: list[torch.Tensor] = []
        for path, part in self.twin.named_modules() if watched else ():
            if (convert := converter(part)) is not None:
                try:
                    reading = convert(part)
                except Exception:
                    continue  # nobody can say what it is, and it must not be called
                self._rest.append((part, _states_of(part, reading)))
                self._watch(part, path or "network", reading, convert)

    def _watch(self, part: nn.Module, base: str, reading: NeuronModule, convert: Convert) -> None:
        original, plain = part.forward, not (reading.after or reading.weights)
        levels = Levels(reading, self.dtype) if len(reading.levels) > 1 else None
        self._levels += [] if levels is None else [levels]
        suffixes = levels.suffixes if levels is not None else ("",)
        seen = weakref.proxy(self)  # the part, which refers to itself, does not keep the copy alive

        def forward(*all_given: Any, **all_named: Any) -> Any:
            x, given, named = input_first(original, all_given, all_named)
            now = convert(part)
            alone = now.keeps_state and not now.multi_step
            if alone:
                seen._stepwise.update(base + suffix for suffix in suffixes)
            y = original(x, *given, **named)
            count = seen._calls[base] = seen._calls.get(base, 0) + 1
            call = "" if alone or count == 1 else f":{count}"
            if levels is None:
                spikes = spikes_of(y).detach()
                fired = {"": spikes != 0}
                if plain and not bool((spikes == fired[""]).all()):
                    seen._graded.add(base + call)
            else:
                fired = levels(x.detach())
            for suffix, spikes in fired.items():
                seen._spikes.setdefault(base + suffix + call, []).append(spikes)
                if not (reading.before or reading.recurrent):
                    seen._currents.setdefault(base + suffix + call, []).append(x.detach())
            return y

        object.__setattr__(part, "forward", forward)

    def reset(self) -> None:
        """Neurons start as they were copied, and what can be reset is reset."""
        for part, attributes in self._rest:
            for name, value in copy.deepcopy(attributes).items():
                object.__setattr__(part, name, value)
        for levels in self._levels:
            levels.reset()
        at_rest(self.twin)

    def step(self, inputs: torch.Tensor) -> list[torch.Tensor]:
        """The outputs of one more step of a module of one step, which goes on where it is."""
        with undisturbed(self.twin, self.dtype), Widened() if self.widened else nullcontext():
            self._calls.clear()
            return [value for _, value in named_outputs(self.twin(inputs.to(self.dtype)))]

    def __call__(self, inputs: torch.Tensor | np.ndarray) -> Observation:
        """One run on ``inputs`` in the module's layout. What forward raises comes through."""
        self._spikes.clear()
        self._currents.clear()
        self._graded.clear()
        self.outputs.clear()
        graph, tensor = self.graph, torch.as_tensor(inputs).to(self.dtype)
        (node,) = graph.inputs
        single = graph.is_of_one_step
        outputs: dict[str, list[torch.Tensor]] = {}
        self.reset()
        with (
            undisturbed(self.twin, self.dtype, self._on_cpu), torch.set_grad_enabled(self.grad),
            Widened() if self.widened else nullcontext(),
        ):  # fmt: skip
            for step in _calls(tensor, node.signal.axes, single, graph.time_steps):
                self._calls.clear()
                for name, value in named_outputs(self.twin(step.clone())):
                    outputs.setdefault(name, []).append(value.detach())
                    self.outputs.append(value)
        axes = {n.name: n.signal.axes for n in graph.nodes.values()}
        timed = "T" in node.signal.axes
        steps = tensor.shape[node.signal.axes.index("T")] if timed else graph.time_steps or 1

        def whole(values: list[torch.Tensor], name: str) -> torch.Tensor:
            if name in self._stepwise:
                # calls on a constant before the loop are no steps
                return _stacked(values[-steps:], axes[name])
            return _whole(values, axes[name], single, steps)

        known = {name: values for name, values in self._spikes.items() if name in axes}
        written = {n.name for n in graph.neurons} - known.keys() if self._watched else set()
        spikes = {name: whole(values, name).to(torch.float64) for name, values in known.items()}
        if written:
            spikes |= self._noted(written, tensor)
        return Observation(
            spikes,
            {
                head: (
                    _batch_first(outputs[head][0], axes[name])
                    if single and graph.nodes[name].signal.rate == "static"
                    else _whole(outputs[head], axes[name], single, steps)
                ).to(torch.float64)
                for head, name in graph.heads.items()
            },
            {
                name: whole(self._currents[name], name).to(torch.float64)
                for name in known
                if name in self._currents
            },
            frozenset(self._graded),
        )

    def _noted(self, names: Collection[str], inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        """The spikes of neurons written as arithmetic, the Graph's where the module has none."""
        seen = noted(self._module, self.graph, names, inputs, self.dtype)
        gaps = [name for name, spikes in seen.items() if bool(spikes.isnan().any())]
        if gaps:
            values = run_graph(self.graph, arrange(inputs, self.graph), keep=gaps)
            seen |= {n: torch.where(seen[n].isnan(), values[n], seen[n]) for n in gaps}
        return seen


def _states_of(part: nn.Module, reading: NeuronModule) -> dict[str, Any]:
    """The states of a neuron, where they are attributes of its own."""
    return copy.deepcopy({name: vars(part)[name] for name in reading.states if name in vars(part)})


def observe(module: nn.Module, inputs: torch.Tensor | np.ndarray, graph: Graph) -> Observation:
    """Run a float64 copy of ``module`` on ``inputs`` and note what each neuron yields.

    ``graph`` is its trace: it gives the names, and T for a module of one step.
    """
    return Witness(module, graph)(inputs)


class Levels:
    """The spikes of each level of a neuron, whose module shows but their sum."""

    def __init__(self, reading: NeuronModule, dtype: torch.dtype) -> None:
        self._reading = reading
        self.suffixes = tuple(f".level{number}" for number in range(1, len(reading.levels) + 1))
        self._store = TensorStore(reading.tensors, dtype)
        self._cells: tuple[Written, ...] = ()

    def reset(self) -> None:
        """Forget the membranes."""
        self._cells = ()

    def __call__(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """By suffix, for the input of one call."""
        reading = self._reading
        steps = reading.time_first(x) if reading.multi_step else x[None]
        current = each_step(reading.before, steps, self._store)
        if not (self._cells and reading.keeps_state):
            shape = current.shape[1:]
            self._cells = tuple(Written(level, shape, self._store) for level in reading.levels)
        spikes = [torch.stack([cell(step)[0] for step in current]) for cell in self._cells]
        whole = [reading.as_taken(s) if reading.multi_step else s[0] for s in spikes]
        return dict(zip(self.suffixes, whole, strict=True))


def _calls(tensor: torch.Tensor, axes: Axes, single: bool, steps: int | None) -> list[torch.Tensor]:
    if not single:
        return [tensor]
    if tensor.dim() == len(axes) + 1:
        return list(tensor)
    return [tensor] * (steps or 1)


def _stacked(values: list[torch.Tensor], axes: Axes) -> torch.Tensor:
    """The spikes of one call a step as (T, N, …)."""
    return torch.stack([_batch_first(value, axes[axes[:1] == ("T",) :]) for value in values])


def _whole(values: list[torch.Tensor], axes: Axes, single: bool, steps: int) -> torch.Tensor:
    if single:
        return torch.stack([_batch_first(value, axes) for value in values])
    (value,) = values
    for place, role in enumerate(axes):
        if role in ("TN", "NT"):
            value = value.unflatten(place, (steps, -1) if role == "TN" else (-1, steps))
            axes = (*axes[:place], *role, *axes[place + 1 :])
            break
    return _batch_first(value, axes)
