"""Every recorded call is replayed: its ops, on the call's own arguments, give the call's result.

A call becomes nodes by a handler, and a handler may forget an argument or know another rule than
torch. So what it wrote down is run at once on the values that the call read, and must give what the
call returned. What is applied value by value is tried on drawn values too, for those of one run may
lie where two functions agree.

Only the first sample is replayed. Sums over samples have no node, and parts of a sum over the steps
of a loop are compared once the loop is whole, when the module runs beside its Graph.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from snncc.frontends.torch.axes import Axes
from snncc.frontends.torch.tracked import Tracked
from snncc.ir.elementwise import BOOLEAN
from snncc.ir.graph import Node
from snncc.ir.interpreter import TensorStore, apply
from snncc.ir.ops import (
    AllSteps,
    AtStep,
    Constant,
    Delay,
    Dynamics,
    Elementwise,
    Identity,
    OverTime,
    Repeat,
    Scale,
    Unread,
)  # fmt: skip

TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}
"""Of results, relative to the largest value: sums may be added up in another order."""

SOME = 4093
"""So many values are drawn, and repeated where more are wanted; a prime, so that rows differ."""

UNKNOWN = (Dynamics, Delay, Unread, AtStep, AllSteps)
"""Ops that are about several steps, or states."""

WRAPPING = (torch.uint8, torch.int8, torch.int16)
"""Dtypes in which drawn values may leave the range; what is computed in them is proved to fit."""


@dataclass(frozen=True)
class Value:
    """What a node was at one moment: ``data`` (T, N, *features) or (N, *features)."""

    data: torch.Tensor
    timed: bool


class Unknown(Exception):
    """The call cannot be replayed: it is about several steps, or states."""


@dataclass(frozen=True)
class Form:
    """What a tensor was before a call, which may change it."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    node: str
    axes: Axes

    def one_sample(self, steps: int | None) -> tuple[int, ...]:
        sizes = {"N": 1, "TN": steps or 1, "NT": steps or 1}
        return tuple(sizes.get(role, n) for role, n in zip(self.axes, self.shape, strict=True))


@dataclass(frozen=True)
class Reads:
    """What a call read before it ran: the form of each tensor by its id, the value of each node."""

    forms: Mapping[int, Form]
    values: Mapping[str, Value]

    @classmethod
    def of(
        cls, tensors: Sequence[torch.Tensor], entries: Sequence[Tracked], steps: int | None
    ) -> Reads | None:
        """None where a value cannot be brought to time, samples and features."""
        try:
            values = {
                entry.node: value_of(tensor, entry.axes, steps)
                for tensor, entry in zip(tensors, entries, strict=True)
            }
        except Unknown:
            return None
        kept = {name: Value(value.data.clone(), value.timed) for name, value in values.items()}
        forms = {
            id(tensor): Form(tuple(tensor.shape), tensor.dtype, entry.node, entry.axes)
            for tensor, entry in zip(tensors, entries, strict=True)
        }
        return cls(forms, kept)


Difference = tuple[float, float]
"""What the ops give and what the call gave."""


@dataclass(frozen=True)
class Replay:
    """Nodes that were written down, to be run on values that were read."""

    nodes: Mapping[str, Node]
    tensors: Mapping[str, np.ndarray]
    steps: int | None
    dtype: torch.dtype

    def difference(
        self, reads: Reads, results: Sequence[tuple[torch.Tensor, Tracked]]
    ) -> Difference | None:
        """The first by more than rounding between what a call returned and its nodes."""
        with torch._C.DisableTorchFunction():
            for tensor, entry in results:
                try:
                    found = self._difference(reads.values, tensor, entry)
                except Unknown:
                    continue
                if found is not None:
                    return found
        return None

    def is_by_value(self, reads: Reads, name: str) -> bool:
        """Whether all nodes between what was read and ``name`` are applied value by value."""
        if name in reads.values:
            return True
        op = self.nodes[name].op
        if isinstance(op, Constant):
            return True
        inside = isinstance(op, Elementwise | Scale | Identity)
        return inside and all(self.is_by_value(reads, each) for each in self.nodes[name].inputs)

    def difference_on_drawn(
        self, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any],
        reads: Reads, entry: Tracked,
    ) -> Difference | None:  # fmt: skip
        """The same for ``func`` on drawn values of one sample; None where it does not run so."""
        if len(reads.values) != len(reads.forms):
            return None  # one node under two forms
        source = torch.Generator().manual_seed(0)
        with torch._C.DisableTorchFunction():
            drawn = {
                key: self._drawn(form, source).to(form.dtype) for key, form in reads.forms.items()
            }
        try:
            known = {
                form.node: value_of(drawn[key].clone(), form.axes, self.steps)
                for key, form in reads.forms.items()
            }
            result = func(*_with(drawn, args), **_with(drawn, dict(kwargs)))
            if not isinstance(result, torch.Tensor) or result.dtype in WRAPPING:
                return None
            with torch._C.DisableTorchFunction():
                return self._difference(known, result, entry)
        except Exception:
            return None

    def _drawn(self, form: Form, source: torch.Generator) -> torch.Tensor:
        """Values that the node of a tensor may have."""
        op = self.nodes[form.node].op
        truth = isinstance(op, Elementwise) and op.function in BOOLEAN
        return _drawn(form.one_sample(self.steps), torch.bool if truth else form.dtype, source)

    def _difference(
        self, known: Mapping[str, Value], tensor: torch.Tensor, entry: Tracked
    ) -> Difference | None:
        if entry.summed:
            raise Unknown
        theirs = value_of(tensor, entry.axes, self.steps)
        if theirs.timed and not self._mixes_steps(known, entry.node):
            theirs = _last_step(theirs)
            known = {name: _last_step(value) for name, value in known.items()}
        mine = self._value(known, entry.node)
        if entry.at is not None and mine.timed and not theirs.timed:
            mine = Value(mine.data[entry.at], False)
        return _first_difference(mine, theirs, self.dtype)

    def _mixes_steps(self, known: Mapping[str, Value], name: str) -> bool:
        """Whether a node on the way is about all steps at once."""
        if name in known:
            return False
        node = self.nodes[name]
        return isinstance(node.op, Repeat | OverTime | Delay | Dynamics) or any(
            self._mixes_steps(known, source) for source in node.inputs
        )

    def _value(self, known: Mapping[str, Value], name: str) -> Value:
        """What node ``name`` is where the nodes in ``known`` have these values."""
        store = TensorStore(self.tensors, self.dtype)
        found: dict[str, Value | torch.Tensor] = {
            each: Value(value.data.to(self.dtype), value.timed) for each, value in known.items()
        }
        result = self._found(name, found, store)
        if not isinstance(result, Value):
            raise Unknown
        return result

    def _found(
        self, name: str, found: dict[str, Value | torch.Tensor], store: TensorStore
    ) -> Value | torch.Tensor:
        if name not in found:
            node = self.nodes[name]
            if isinstance(node.op, Constant):
                found[name] = store.number(node.op.value)
            elif (
                isinstance(node.op, Dynamics | Delay | Unread | AtStep | AllSteps)
                or not node.inputs
            ):
                raise Unknown
            else:
                args = [self._found(each, found, store) for each in node.inputs]
                found[name] = self._applied(node, args, store)
        return found[name]

    def _applied(
        self, node: Node, args: Sequence[Value | torch.Tensor], store: TensorStore
    ) -> Value:
        values = [arg for arg in args if isinstance(arg, Value)]
        if not values:
            raise Unknown
        first = values[0]
        match node.op:
            case Repeat():
                if first.timed or self.steps is None:
                    raise Unknown
                return Value(first.data.expand(self.steps, *first.data.shape), True)
            case OverTime(kind=kind):
                if not first.timed:
                    raise Unknown
                data = first.data
                if kind == "last":
                    return Value(data[-1], False)
                if kind == "max":
                    return Value(data.amax(0), False)
                return Value(data.mean(0) if kind == "mean" else data.sum(0), False)
        timed = any(value.timed for value in values)
        lead = next(value.data.shape[: 1 + timed] for value in values if value.timed == timed)
        flat = [_flat(arg, lead) if isinstance(arg, Value) else arg for arg in args]
        result = apply(node.op, flat, store)
        return Value(result.reshape(*lead, *result.shape[1:]) if timed else result, timed)


def value_of(tensor: torch.Tensor, axes: Axes, steps: int | None, samples: int = 1) -> Value:
    """The first ``samples`` of a recorded tensor, time and samples in front.

    Raises Unknown where an axis is not yet known to be a feature, and for a sparse tensor.
    """
    if tensor.layout != torch.strided:
        raise Unknown
    data, roles = tensor.detach(), list(axes)
    for place, role in enumerate(roles):
        if role in ("TN", "NT"):
            sizes = (steps or 1, -1) if role == "TN" else (-1, steps or 1)
            data = data.reshape(*data.shape[:place], *sizes, *data.shape[place + 1 :])
            roles[place : place + 1] = role
            break
    kept = [place for place, role in enumerate(roles) if role != "1"]
    if any(data.shape[place] != 1 for place in range(len(roles)) if place not in kept):
        raise Unknown
    lead = [roles.index(role) for role in ("T", "N") if role in roles]
    order = lead + [place for place in kept if place not in lead]
    if roles.count("T") > 1 or roles.count("N") != 1:
        raise Unknown
    ones = [place for place in range(len(roles)) if place not in kept]
    data = data.permute(*order, *ones).reshape([data.shape[place] for place in order])
    timed = "T" in roles
    return Value(data.narrow(int(timed), 0, min(samples, data.shape[int(timed)])), timed)


def _last_step(value: Value) -> Value:
    """The last of the steps alone: where each is by itself one shows as much as all."""
    return Value(value.data[-1:], True) if value.timed else value


def _flat(value: Value, lead: Sequence[int]) -> torch.Tensor:
    """As (B, *features), what is the same at each step once for each."""
    if len(lead) == 1:
        return value.data
    data = value.data if value.timed else value.data.expand(lead[0], *value.data.shape)
    return data.flatten(0, 1)


def _first_difference(mine: Value, theirs: Value, dtype: torch.dtype) -> Difference | None:
    if mine.timed != theirs.timed or mine.data.shape != theirs.data.shape:
        raise Unknown
    one, two = mine.data.to(torch.float64), theirs.data.to(torch.float64)
    if torch.equal(one, two):
        return None
    finite = two[two.isfinite()]
    scale = max(1.0, float(finite.abs().max())) if finite.numel() else 1.0
    apart = (one - two).abs() > TOLERANCE[dtype] * scale
    apart |= (one.isnan() != two.isnan()) | (one.isinf() != two.isinf())
    off = apart.nonzero()
    if not len(off):
        return None
    index = tuple(off[0].tolist())
    return float(one[index]), float(two[index])


def _drawn(shape: Sequence[int], dtype: torch.dtype, source: torch.Generator) -> torch.Tensor:
    """Values of a dtype; real ones on a grid, where functions have their corners, or anywhere."""
    size = math.prod(shape)
    some = min(size, SOME)
    whole = torch.randint(0 if dtype == torch.uint8 else -12, 13, (some,), generator=source)
    if dtype == torch.bool:
        values = whole > 0
    elif not dtype.is_floating_point:
        values = whole.to(dtype)
    else:
        anywhere = 4 * torch.randn(some, generator=source, dtype=torch.float64)
        values = torch.where(whole % 2 == 0, whole / 8, anywhere).to(dtype)
    times = -(-size // some) if some else 1
    return values.repeat(times)[:size].reshape(tuple(shape)).clone()


def _with(drawn: Mapping[int, torch.Tensor], value: Any) -> Any:
    """``value`` with the drawn tensors in place of those that were read, the others as copies."""
    if isinstance(value, torch.Tensor):
        return drawn[id(value)] if id(value) in drawn else value.clone()
    if isinstance(value, dict):
        return {key: _with(drawn, item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        items = [_with(drawn, item) for item in value]
        return items if isinstance(value, list) else tuple(items)
    return value
