"""What the module itself does: the other side of every comparison."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from snncc.diagnostics import refuse
from snncc.frontends.neurons import NeuronModule, converter
from snncc.frontends.torch.axes import Axes
from snncc.frontends.torch.firing import each_step, spikes_of
from snncc.frontends.torch.tracing import named_outputs, private_copy, undisturbed
from snncc.frontends.torch.widening import Widened
from snncc.ir.graph import Graph
from snncc.ir.interpreter import TensorStore, Written
from snncc.ir.ops import Input


@dataclass(frozen=True)
class Observation:
    """One run of a module in float64.

    ``spikes``: node name of each neuron call to (T, N, …); ``heads``: head name to what the module
    returned, step values as (T, N, …), others as (N, …).
    """

    spikes: Mapping[str, torch.Tensor]
    heads: Mapping[str, torch.Tensor]


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
        arranged = tensor
    elif tensor.dim() == rank:
        arranged = _batch_first(tensor, axes)
        if single and node.signal.rate == "step":
            arranged = arranged.expand(graph.time_steps or 1, *arranged.shape)
    else:
        arranged = tensor
    lead = arranged.dim() - len(shape)
    expected = 2 if node.signal.rate == "step" else 1
    if lead != expected or tuple(arranged.shape[lead:]) != shape or 0 in arranged.shape:
        wanted = "(" + ", ".join([*axes[: rank - len(shape)], *map(str, shape)]) + ")"
        raise refuse("SNN306", f"inputs of shape {tuple(tensor.shape)} do not fit {wanted}")
    if node.signal.rate != "step" and node.op != Input("analog"):
        arranged = arranged.expand(graph.time_steps or 1, *arranged.shape)
    return {node.name: arranged.to(torch.float64)}


def _batch_first(tensor: torch.Tensor, axes: Axes) -> torch.Tensor:
    """Axes to (T, N, features) or (N, features)."""
    lead = [axes.index(role) for role in ("T", "N") if role in axes]
    if lead == [*range(len(lead))]:
        return tensor
    return tensor.permute(*lead, *(d for d in range(len(axes)) if d not in lead))


def observe(module: nn.Module, inputs: torch.Tensor | np.ndarray, graph: Graph) -> Observation:
    """Run a float64 copy of ``module`` on ``inputs`` and note what each neuron yields.

    ``graph`` is its trace: it gives the names, and T for a module of one step.
    """
    twin = private_copy(module, torch.float64)
    tensor = torch.as_tensor(inputs).to(torch.float64)
    (node,) = graph.inputs
    single = not any("T" in n.signal.axes for n in graph.nodes.values())
    seen: dict[str, list[torch.Tensor]] = {}
    calls: dict[str, int] = {}
    hooks = []
    stepwise: set[str] = set()
    for path, part in twin.named_modules():
        if (convert := converter(part)) is not None:
            reading, base = convert(part), path or "network"
            alone = reading.keeps_state and not reading.multi_step
            if alone:
                stepwise.add(base)

            levels = Levels(reading) if len(reading.levels) > 1 else None
            if levels is not None and alone:
                stepwise.update(base + suffix for suffix in levels.suffixes)

            def note(
                m: nn.Module, x: tuple[torch.Tensor, ...], y: Any, base: str = base,
                alone: bool = alone, levels: Levels | None = levels,
            ) -> None:  # fmt: skip
                count = calls[base] = calls.get(base, 0) + 1
                call = "" if alone or count == 1 else f":{count}"
                if levels is None:
                    seen.setdefault(base + call, []).append((spikes_of(y) != 0).to(torch.float64))
                    return
                for suffix, spikes in levels(x[0]).items():
                    seen.setdefault(base + suffix + call, []).append(spikes)

            hooks.append(part.register_forward_hook(note))
    outputs: dict[str, list[torch.Tensor]] = {}
    try:
        with undisturbed(twin, torch.float64), Widened():
            for step in _calls(tensor, node.signal.axes, single, graph.time_steps):
                calls.clear()
                for name, value in named_outputs(twin(step)):
                    outputs.setdefault(name, []).append(value)
    finally:
        for hook in hooks:
            hook.remove()
    axes = {n.name: n.signal.axes for n in graph.nodes.values()}
    timed = "T" in node.signal.axes
    steps = tensor.shape[node.signal.axes.index("T")] if timed else graph.time_steps or 1
    whole = partial(_whole, single=single, steps=steps)
    return Observation(
        {
            name: _stacked(values, axes[name]) if name in stepwise else whole(values, axes[name])
            for name, values in seen.items()
            if name in axes
        },
        {head: whole(outputs[head], axes[name]) for head, name in graph.heads.items()},
    )


class Levels:
    """The spikes of each level of a neuron, whose module shows but their sum."""

    def __init__(self, reading: NeuronModule) -> None:
        self._reading = reading
        self.suffixes = tuple(f".level{number}" for number in range(1, len(reading.levels) + 1))
        self._store = TensorStore(reading.tensors, torch.float64)
        self._cells: tuple[Written, ...] = ()

    def __call__(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """By suffix, for the input of one call."""
        reading = self._reading
        current = each_step(reading.before, x if reading.multi_step else x[None], self._store)
        if not (self._cells and reading.keeps_state):
            shape = current.shape[1:]
            self._cells = tuple(Written(level, shape, self._store) for level in reading.levels)
        spikes = [
            torch.stack([cell(step)[0].to(torch.float64) for step in current])
            for cell in self._cells
        ]
        whole = spikes if reading.multi_step else [s[0] for s in spikes]
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
        return torch.stack(values)
    (value,) = values
    for place, role in enumerate(axes):
        if role in ("TN", "NT"):
            value = value.unflatten(place, (steps, -1) if role == "TN" else (-1, steps))
            axes = (*axes[:place], *role, *axes[place + 1 :])
            break
    return _batch_first(value, axes)
