"""Which classes are neurons, and what they mean (one table, filled through entry points)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

from snncc.diagnostics import Location, refuse
from snncc.ir.graph import Tensors
from snncc.ir.ops import Membrane, Op, Spiking

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class NeuronModule:
    """What one neuron module is.

    ``multi_step``: its forward takes (T, N, …), else one step (N, …). ``keeps_state``: its
    membrane outlives a call, so that a second call in one forward goes on where the first ended.
    ``tensors``: those that the ops below name, under names within the module.

    ``states``: the attributes that hold its state; its forward may take them too, in this order,
    after the input. ``shown``: what they mean when they are read as values. ``before`` and
    ``after``: what it does to its input and to its spikes.
    """

    spiking: Spiking
    multi_step: bool
    keeps_state: bool
    tensors: Tensors = field(default_factory=dict)
    states: tuple[str, ...] = ()
    shown: Mapping[str, Membrane] = field(default_factory=dict)
    before: tuple[Op, ...] = ()
    after: tuple[Op, ...] = ()


Convert = Callable[["nn.Module"], NeuronModule]

_HOMES = ("spikingjelly", "snntorch", "snncc.nn")


@cache
def _table() -> Mapping[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group="snncc.neurons")}


def qualified_name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def converter(module: nn.Module) -> Convert | None:
    """How to read this module if its class is in the table; subclasses are other neurons."""
    entry = _table().get(qualified_name(type(module)))
    if entry is None:
        return None
    convert: Convert = entry.load()
    return convert


def refuse_unknown(module: nn.Module, path: str) -> None:
    """Raise SnnccError (SNN110) when the module is a known library's neuron without a reading."""
    for cls in type(module).__mro__:
        base = cls.__name__ in ("BaseNode", "SpikingNeuron", "Neuron")
        if base and cls.__module__.startswith(_HOMES):
            name = qualified_name(type(module))
            raise refuse("SNN110", f"{name} has no exact form here", Location(path))
