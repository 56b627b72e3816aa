"""A module that another program can run too: its outputs there, beside those of this reading.

A network that was read from a file has no code of its user that could run beside it: the module is
our own reading of the file. Where another program runs the file, that is an opinion that owes
nothing to this reading, and each output of it is held against the module's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Protocol, runtime_checkable

import torch
from torch import nn

from snncc.diagnostics import Finding, Location, SnnccError
from snncc.frontends.torch import arrange
from snncc.frontends.torch.copies import private_copy, undisturbed
from snncc.frontends.torch.runs import named_outputs
from snncc.ir.graph import Graph
from snncc.ir.interpreter import TensorStore, fire_as_written, run_graph
from snncc.ir.ops import Dynamics, Membrane
from snncc.verification.probes import Probe

OUTPUT = 1e-4
"""How far an output in float32 may lie off, relative to the largest."""

NEAR = 1e-5
"""How near to its threshold, relative to the largest current, float32 may decide otherwise."""

MOST = 8
"""So many samples of an input are compared."""


@runtime_checkable
class RunsElsewhere(Protocol):
    """What a module has that another program can run."""

    def elsewhere(self, x: torch.Tensor, steps: int | None) -> Mapping[str, torch.Tensor] | None:
        """Its outputs there by name; None where it does not run."""
        ...


@dataclass(frozen=True)
class Opinion:
    """How many samples were compared, and in how many of them float32 decided otherwise."""

    samples: int
    ties: int

    @property
    def said(self) -> str:
        """In words."""
        more = f", {self.ties} of them by rounding" if self.ties else ""
        return f"the outputs of {self.ties} of {self.samples} samples differ{more}"


def second_opinion(module: nn.Module, graph: Graph, probes: Sequence[Probe]) -> Opinion | None:
    """Compare the outputs of ``module``, sample by sample, with those that another program gives.

    None where there is no such program. Raises SnnccError (SNN321) where outputs differ and no
    membrane is so near to its threshold that float32 explains it.
    """
    if not isinstance(module, RunsElsewhere):
        return None
    steps = graph.time_steps if graph.is_of_one_step else None
    samples = ties = 0
    for probe in probes:
        if probe.name not in ("example", "drawn"):
            continue
        for number in range(min(MOST, probe.samples)):
            x = probe.inputs.narrow(probe.axis, number, 1)
            theirs = module.elsewhere(x, steps)
            if theirs is None:
                return None
            mine = _outputs(module, x, steps, len(graph.inputs[0].signal.axes))
            samples += 1
            where = _difference(mine, theirs)
            if where is None:
                continue
            if not _is_near(graph, x):
                said = f"output `{where}` is another one where onnxruntime runs the file, on the "
                said += f"input `{probe.name}`, sample {number}"
                raise SnnccError(Finding("SNN321", said, Location(where)))
            ties += 1
    if ties > samples // 2:
        said = f"outputs of {ties} of {samples} samples are others where onnxruntime runs the file"
        raise SnnccError(Finding("SNN321", said))
    return Opinion(samples, ties)


def _outputs(
    module: nn.Module, x: torch.Tensor, steps: int | None, rank: int
) -> Mapping[str, torch.Tensor]:
    """The module's outputs in float64, those of all steps stacked where it computes one."""
    twin = private_copy(module, torch.float64)
    x = x.double()
    with undisturbed(twin, torch.float64):
        if steps is None:
            return dict(named_outputs(twin(x)))
        calls = [dict(named_outputs(twin(x if x.dim() == rank else x[t]))) for t in range(steps)]
    return {name: torch.stack([call[name] for call in calls]) for name in calls[0]}


def _difference(mine: Mapping[str, torch.Tensor], theirs: Mapping[str, torch.Tensor]) -> str | None:
    """The name of the first output that differs."""
    for name, value in mine.items():
        other = theirs.get(name)
        if other is None or other.shape != value.shape:
            return name
        scale = max(1.0, float(value.abs().max())) if value.numel() else 1.0
        if bool(((value.double() - other.double()).abs() > OUTPUT * scale).any()):
            return name
    return None


def _is_near(graph: Graph, x: torch.Tensor) -> bool:
    """Whether a membrane comes as near to its threshold as float32 rounds."""
    sources = [node.inputs[0] for node in graph.neurons]
    values = run_graph(graph, arrange(x, graph), keep=sources)
    store = TensorStore(graph.tensors, torch.float64)
    for node in graph.neurons:
        assert isinstance(node.op, Dynamics)
        current = values[node.inputs[0]]
        if current.dim() < len(node.signal.shape) + 2:
            current = current.expand(graph.time_steps or 1, *current.shape)
        own = {field.name: getattr(node.op, field.name) for field in fields(node.op)}
        h = fire_as_written(Membrane(**own, before=True), current, store)
        scale = max(1.0, float(current.abs().max()))
        if bool(((h - store.number(node.op.threshold)).abs() <= NEAR * scale).any()):
            return True
    return False
