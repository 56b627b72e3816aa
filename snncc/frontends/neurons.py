"""Which classes are neurons, and what they mean (one table, filled through entry points)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

from snncc.diagnostics import Location, refuse
from snncc.frontends.layout import Layout, roles, time_back, time_first
from snncc.ir.graph import Tensors
from snncc.ir.ops import Membrane, Op, Spiking

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class NeuronModule:
    """What one neuron module is.

    ``spiking``: its neuron, or several that all read its input and whose spikes are added up, each
    times its number of ``weights`` where those are given (multi-level firing).

    ``multi_step``: its forward takes all steps, (T, N, …) or in the order that ``layout`` says, as
    "NT" or "NFT" do; else one step (N, …). ``keeps_state``: its membrane
    outlives a call, so that a second call in one forward goes on where the first ended.
    ``tensors``: those that the ops below name, under names within the module.

    ``states``: the attributes that hold its state; its forward may take them too, in this order,
    after the input. ``shown``: what they mean when they are read as values. ``before`` and
    ``after``: what it does to its input and to its spikes. ``recurrent``: linear ops from what it
    yielded in the step before to a part of its input. ``step``: the function that it fires with,
    from the distance of a membrane to the threshold to a spike.
    """

    spiking: Spiking | Sequence[Spiking]
    multi_step: bool
    keeps_state: bool
    tensors: Tensors = field(default_factory=dict)
    states: tuple[str, ...] = ()
    shown: Mapping[str, Membrane] = field(default_factory=dict)
    before: tuple[Op, ...] = ()
    after: tuple[Op, ...] = ()
    weights: Sequence[float] = ()
    recurrent: tuple[Op, ...] = ()
    step: Callable[[Any], Any] | None = None
    layout: Layout = "TN"

    @property
    def levels(self) -> tuple[Spiking, ...]:
        return (self.spiking,) if isinstance(self.spiking, Spiking) else tuple(self.spiking)

    def time_first(self, x: Tensor) -> Tensor:
        """What its forward takes, as (T, N, …)."""
        return x.permute(time_first(roles(self.layout, x.dim()))) if self.multi_step else x

    def as_taken(self, x: Tensor) -> Tensor:
        """(T, N, …) as its forward takes it."""
        return x.permute(time_back(roles(self.layout, x.dim()))) if self.multi_step else x

    @property
    def heights(self) -> tuple[float, ...]:
        """What a spike of each level counts."""
        return tuple(map(float, self.weights)) or (1.0,) * len(self.levels)


Convert = Callable[[Any], NeuronModule]
"""From a module to what it is. Raises SnnccError (SNN110) where it has no exact form."""


@cache
def _table() -> Mapping[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group="snncc.neurons")}


def qualified_name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


_registered: dict[type, Convert] = {}


def register_neuron(cls: type[nn.Module], convert: Convert) -> None:
    """From now on read modules of exactly the class ``cls`` as ``convert`` says.

    ``convert(module)`` returns a ``NeuronModule``. Whatever happens inside the module's forward is
    not recorded; instead, each time a network is traced, the module runs on drawn currents beside
    what ``convert`` says it is, and a single spike that differs is an error (SNN319).

    Raises SnnccError (SNN316) when ``cls`` is no class of modules.
    """
    from torch import nn

    if not (isinstance(cls, type) and issubclass(cls, nn.Module)):
        raise refuse("SNN316", f"register_neuron takes a class of modules, not {cls!r}")
    _registered[cls] = convert


def is_registered(module: nn.Module) -> bool:
    return type(module) in _registered


def converter(module: nn.Module) -> Convert | None:
    """How to read this module if its class is in the table.

    A subclass is another neuron, but for one that has nothing of its own but an ``__init__``.
    """
    if type(module) in _registered:
        return _registered[type(module)]
    entry = _table().get(qualified_name(read_class(type(module))))
    if entry is None:
        return None
    convert: Convert = entry.load()
    return convert


_OF_EVERY_CLASS = frozenset({
    "__init__", "__module__", "__qualname__", "__doc__", "__annotations__", "__annotate_func__",
    "__firstlineno__", "__static_attributes__", "__abstractmethods__", "_abc_impl",
    "__parameters__", "__orig_bases__", "__annotations_cache__",
})  # fmt: skip
"""What a class may have of its own and still be the neuron that its base is."""


def read_class(cls: type) -> type:
    """``cls``, or the class that it is but for its ``__init__``."""
    while len(cls.__bases__) == 1 and vars(cls).keys() <= _OF_EVERY_CLASS:
        if qualified_name(cls) in _table():
            break
        cls = cls.__bases__[0]
    return cls


def library(module: nn.Module) -> str:
    """The package that a module's class is of, or that it is but for its ``__init__``."""
    cls = read_class(type(module))
    known = cls if qualified_name(cls) in _table() else type(module)
    return known.__module__.partition(".")[0]


def refuse_unknown(module: nn.Module, path: str) -> None:
    """Raise SnnccError (SNN110) when the module is a known library's neuron without a reading.

    So is a synapse whose current decays by other laws when spikes come.
    """
    name = qualified_name(type(module))
    if any(map(_is_neuron, type(module).__mro__)) or name.endswith(".SynapseFilter"):
        raise refuse("SNN110", f"{name} has no exact form here", Location(path))


def _is_neuron(cls: type) -> bool:
    """Whether its library makes it one: by a base class, or in a room where all are neurons."""
    package, *rooms = cls.__module__.split(".")
    known = package in ("spikingjelly", "snntorch") or cls.__module__.startswith("snncc.nn")
    base = known and cls.__name__ in ("BaseNode", "SpikingNeuron", "Neuron")
    return base or (package == "spikingjelly" and "neuron" in rooms)
