"""realise-projections: one conv, dense or sparse map per projection."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

import numpy as np

from snncc.diagnostics import Finding
from snncc.ir.graph import Tensors
from snncc.ir.matrix import compose
from snncc.ir.network import Encoder, Network, Projection
from snncc.ir.ops import (
    AdaptivePool,
    Broadcast,
    Conv,
    ConvTranspose,
    Dense,
    Op,
    Pad,
    Pool,
    Reduce,
    Ref,
    Reshape,
    Scale,
    Slice,
    Sparse,
    Upsample,
)  # fmt: skip
from snncc.ir.shapes import Shape, output_shape
from snncc.ir.synapses import synapses
from snncc.passes.base import Outcome, Pass
from snncc.reports import Report

Chain = tuple[Op, ...]

GATHERING = (Conv, ConvTranspose, Dense, Sparse, Pool, AdaptivePool, Reduce)
"""Ops whose results sum over synapses; all others copy, move or scale single values."""


@dataclass(frozen=True)
class Realised(Report):
    """A projection: the synapses of all ops of its chain before, and of ``map`` after."""

    source: str
    target: str
    synapses_before: int
    synapses_after: int
    map: str


@dataclass(frozen=True)
class Maps(Report):
    """All projections, in the order of the network."""

    projections: tuple[Realised, ...]


@dataclass(frozen=True)
class RealiseProjections(Pass[Network, Network]):
    """Turn the chain of linear maps of every projection into at most one op (design, section 2).

    What remains is the identity (no op), one Scale, Conv, Dense or Sparse, or a Reshape that
    flattens the source of a Dense, which moves nothing. In the order they are tried:

    1. A Scale by one number, or by a diagonal over the channels of a Conv or the last axis of a
       Dense, goes into the weights beside it, before or behind; two Scales become one; a Scale
       moves behind a Reshape.
    2. An average or sum pool whose windows all weigh alike (no border left out of a divisor, no
       window that hangs over) is a depthwise Conv, and so is an adaptive pool that divides evenly.
    3. A chain whose matrix is more than half full is a Dense: pool, mean and reshape before a
       classifier go into its weights.
    4. A Conv behind a Conv is one Conv where that is exact: no padding between the two, or
       padding that the first would have computed from nothing but zeros. Zeros around a Conv's
       input become its padding.
    5. Any other chain is a Sparse, the product of its ops' matrices.
    6. An op that does nothing goes.

    Weights that change get new tensors named after the projection; projections with equal maps
    from equal shapes share them, and a map that need not change keeps its own. Projections from
    encoders, which only scale, stay. Spikes are preserved; sums may differ in the last bits.

    Refuses (SNN203) a map of more than ``limit`` synapses that only rules 3 and 5 could realise.
    The report lists, for each projection, the synapses of all ops of the chain before, and of the
    realised map after.
    """

    name: ClassVar[str] = "realise-projections"
    summary: ClassVar[str] = "Makes one convolution, dense or sparse map of each projection."
    reports: ClassVar[type[Report]] = Maps

    limit: int = 50_000_000

    def __call__(self, form: Network) -> Outcome[Network]:
        work = _Workshop(form.tensors, self.limit)
        projections, rows, findings = [], [], []
        for projection in form.projections:
            source = form.places[projection.source]
            try:
                realised = projection
                if not isinstance(source, Encoder):
                    realised = replace(projection, map=work.realise(projection, source.shape))
            except _TooLarge as problem:
                findings.append(_refusal(projection, form, problem.size, self.limit))
                continue
            projections.append(realised)
            rows.append(
                Realised(
                    projection.source,
                    projection.target,
                    _count(projection.map, source.shape, work.tensors),
                    _count(realised.map, source.shape, work.tensors),
                    " > ".join(type(op).__name__.lower() for op in realised.map) or "identity",
                )
            )
        network = form.with_changes(projections=projections, tensors=work.tensors)
        if findings:
            return Outcome(form, tuple(findings), rest=network)
        return Outcome(network, report=Maps(tuple(rows)))


class _TooLarge(Exception):
    def __init__(self, size: int) -> None:
        self.size = size


def _refusal(projection: Projection, network: Network, size: int, limit: int) -> Finding:
    origin = getattr(network.places[projection.target], "origin", None)
    message = (
        f"the projection {projection.source} -> {projection.target} needs {size:,} synapses one "
        f"by one, more than the limit of {limit:,}"
    )
    finding = Finding("SNN203", message, node=projection.target)
    return finding if origin is None else finding.at(origin)


def _count(chain: Chain, shape: Shape, tensors: Tensors) -> int:
    """The synapses of all ops of a chain; one to one where none of them gathers."""
    total, size = 0, math.prod(shape)
    for op in chain:
        total += synapses([op], shape, tensors) if isinstance(op, GATHERING) else 0
        shape = output_shape(op, (shape,), tensors)
    return total or max(size, math.prod(shape))


class _Workshop:
    """The tensors of a network, those made on the way, and the maps realised so far."""

    def __init__(self, tensors: Tensors, limit: int) -> None:
        self.tensors: dict[str, np.ndarray] = dict(tensors)
        self._given = frozenset(tensors)
        self._limit = limit
        self._done: dict[tuple[Shape, Chain], Chain] = {}

    def realise(self, projection: Projection, shape: Shape) -> Chain:
        """The map of ``projection``, from a source of ``shape``. Raises _TooLarge."""
        key = (shape, projection.map)
        if key not in self._done:
            chain = self._rewritten(projection.map, shape)
            if not _is_realised(chain, shape):
                chain = self._composed(chain, shape)
            self._done[key] = self._named(chain, f"{projection.target}.from.{projection.source}")
        return self._done[key]

    def _rewritten(self, chain: Chain, shape: Shape) -> Chain:
        """Rules 1, 2, 4 and 6 until none applies."""
        while True:
            here = shape
            for i, op in enumerate(chain):
                after = output_shape(op, (here,), self.tensors)
                if (one := self._alone(op, here, after)) != (op,):
                    chain = chain[:i] + one + chain[i + 1 :]
                    break
                pair = self._together(op, chain[i + 1], here) if i + 1 < len(chain) else None
                if pair is not None:
                    chain = chain[:i] + pair + chain[i + 2 :]
                    break
                here = after
            else:
                return chain

    # -- one op ------------------------------------------------------------------------------

    def _alone(self, op: Op, shape: Shape, after: Shape) -> Chain:
        if _does_nothing(op, shape, after):  # rule 6
            return ()
        window = _even_window(op, shape, after)
        if window is not None:  # rule 2
            kernel, stride, padding, dilation, weight = window
            tensor = np.full((shape[0], 1, *kernel), weight)
            return (Conv(self._new(tensor), None, stride, padding, dilation, shape[0]),)
        return (op,)

    # -- two ops -----------------------------------------------------------------------------

    def _together(self, first: Op, second: Op, shape: Shape) -> Chain | None:
        between = output_shape(first, (shape,), self.tensors)
        match first, second:
            case Scale(), Scale():  # rule 1
                factors = self._number(first.factor), self._number(second.factor)
                return (Scale(self._factor(factors[0] * factors[1])),)
            case Scale(), Reshape():  # rule 1
                if not isinstance(first.factor, Ref):
                    return (second, first)
                factor = np.broadcast_to(self.tensors[first.factor], shape)
                return (second, Scale(self._new(factor.reshape(second.shape))))
            case Scale(), Conv() | Dense():  # rule 1
                return self._scaled(second, first, shape, inside=True)
            case ((Conv() | Dense()), Scale()):  # rule 1
                return self._scaled(first, second, between, inside=False)
            case Conv(), Conv():  # rule 4
                return self._merged(first, second, shape, between)
            case Pad(), Conv():  # rule 4
                widths = first.widths[1:]
                if any(first.widths[0]) or any(a != b or a < 0 for a, b in widths):
                    return None
                padding = tuple(p + a for p, (a, _) in zip(second.padding, widths, strict=True))
                return (replace(second, padding=padding),)
        return None

    def _scaled(self, op: Conv | Dense, scale: Scale, shape: Shape, inside: bool) -> Chain | None:
        """``op`` with a Scale of its input (``inside``) or output, of ``shape``, in its weights."""
        axis = 0 if isinstance(op, Conv) else len(shape) - 1
        factor = np.asarray(self._number(scale.factor))
        sizes = (1,) * (len(shape) - factor.ndim) + factor.shape
        if len(sizes) > len(shape) or any(n != 1 for i, n in enumerate(sizes) if i != axis):
            return None
        factor = np.broadcast_to(factor.ravel(), shape[axis])
        weight = self.tensors[op.weight]
        tail = (1,) * (weight.ndim - 2)
        if not inside:
            factor = factor.reshape(-1, 1, *tail)
        elif isinstance(op, Dense):
            factor = factor[None, :]
        else:
            rows = len(weight) // op.groups
            factor = factor.reshape(op.groups, -1).repeat(rows, 0).reshape(*weight.shape[:2], *tail)
        return (replace(op, weight=self._new(weight * factor)),)

    def _merged(self, first: Conv, second: Conv, shape: Shape, between: Shape) -> Chain | None:
        """Two correlations as one: the second's taps are ``first.stride`` apart in the first's."""
        if set(first.dilation) | set(second.dilation) != {1}:
            return None
        weight = self.tensors[first.weight]
        # The window behind the last one must start outside; then the one before the first, which
        # is no longer than stride + padding, ends outside as well.
        axes = zip(second.padding, first.stride, first.padding, shape[1:], between[1:], strict=True)
        if any(q and count * s - p < size for q, s, p, size, count in axes):
            return None
        groups = math.gcd(first.groups, second.groups)
        inner = _regrouped(weight, first.groups, groups)
        outer = _regrouped(self.tensors[second.weight], second.groups, groups)
        kernels = [
            k1 + (k2 - 1) * s
            for k1, k2, s in zip(inner.shape[3:], outer.shape[3:], first.stride, strict=True)
        ]
        merged = np.zeros((groups, outer.shape[1], inner.shape[2], *kernels))
        taps = outer.reshape(*outer.shape[:3], -1)
        for i, at in enumerate(itertools.product(*map(range, outer.shape[3:]))):
            reach: tuple[Any, ...] = tuple(
                slice(j * s, j * s + k)
                for j, s, k in zip(at, first.stride, inner.shape[3:], strict=True)
            )
            merged[(..., *reach)] += np.einsum("goc,gci...->goi...", taps[..., i], inner)
        return (
            Conv(
                self._new(merged.reshape(-1, *merged.shape[2:])), None,
                tuple(a * b for a, b in zip(first.stride, second.stride, strict=True)),
                tuple(p + q * s for p, q, s in
                      zip(first.padding, second.padding, first.stride, strict=True)),
                first.dilation, groups,
            ),
        )  # fmt: skip

    # -- the whole chain -----------------------------------------------------------------------

    def _composed(self, chain: Chain, shape: Shape) -> Chain:
        self._check_size(chain, shape)
        after = shape
        for op in chain:
            after = output_shape(op, (after,), self.tensors)
        product = compose(chain, shape, self.tensors)
        if len(after) == 1 and 2 * product.nnz > math.prod(product.shape):  # rule 3
            dense = Dense(self._new(product.toarray()))
            return (dense,) if len(shape) == 1 else (Reshape((math.prod(shape),)), dense)
        parts = (self._new(product.data), self._new(product.indices), self._new(product.indptr))
        return (Sparse(*parts, after),)  # rule 5

    def _check_size(self, chain: Chain, shape: Shape) -> None:
        size = synapses(chain, shape, self.tensors)
        for op in chain:
            size = max(size, synapses([op], shape, self.tensors))
            shape = output_shape(op, (shape,), self.tensors)
        if size > self._limit:
            raise _TooLarge(size)

    # -- tensors -------------------------------------------------------------------------------

    def _number(self, number: float | Ref) -> np.ndarray | float:
        return self.tensors[number] if isinstance(number, Ref) else number

    def _factor(self, factor: np.ndarray | float) -> float | Ref:
        return self._new(factor) if isinstance(factor, np.ndarray) else factor

    def _new(self, tensor: np.ndarray) -> Ref:
        """A tensor without a name yet."""
        ref = Ref(f" {len(self.tensors)}")
        self.tensors[ref] = tensor
        return ref

    def _named(self, chain: Chain, stem: str) -> Chain:
        """``chain`` with names for the tensors made on the way, the others left as they are."""
        named = []
        for op in chain:
            names = {}
            for f in fields(op):
                value = getattr(op, f.name)
                if isinstance(value, Ref) and value.startswith(" "):
                    names[f.name] = self._free(f"{stem}.{f.name}")
                    self.tensors[names[f.name]] = self.tensors[value]
            named.append(replace(op, **names))
        for ref in [ref for ref in self.tensors if ref.startswith(" ")]:
            del self.tensors[ref]
        return tuple(named)

    def _free(self, name: str) -> Ref:
        taken = (n for n in itertools.count(2) if f"{name}.{n}" not in self.tensors)
        return Ref(name if name not in self.tensors else f"{name}.{next(taken)}")


def _is_realised(chain: Chain, shape: Shape) -> bool:
    match chain:
        case () | (Scale() | Conv() | Dense() | Sparse(),):
            return True
        case Reshape(flat), Dense():
            return len(flat) == 1
    return False


def _does_nothing(op: Op, shape: Shape, after: Shape) -> bool:
    match op:
        case Scale():
            return shape == after and not isinstance(op.factor, Ref) and op.factor == 1
        case Pad() | Slice() | Reshape() | Upsample() | Broadcast() | AdaptivePool():
            return shape == after
        case Pool():
            return shape == after and set(op.kernel) == {1}
    return False


def _even_window(
    op: Op, shape: Shape, after: Shape
) -> tuple[Shape, Shape, Shape, Shape, float] | None:
    """Kernel, stride, padding, dilation and weight of a pool whose windows all weigh alike."""
    match op:
        case Pool() if len(shape) == len(op.kernel) + 1:
            if op.ceil and output_shape(replace(op, ceil=False), (shape,), {}) != after:
                return None
            if op.kind == "average" and any(op.padding) and not op.count_padding:
                return None
            weight = 1 / math.prod(op.kernel) if op.kind == "average" else 1.0
            return op.kernel, op.stride, op.padding, op.dilation, weight
        case AdaptivePool() if len(shape) == len(op.size) + 1:
            if any(n % m for n, m in zip(shape[1:], op.size, strict=True)):
                return None
            kernel = tuple(n // m for n, m in zip(shape[1:], op.size, strict=True))
            weight = 1 / math.prod(kernel) if op.kind == "average" else 1.0
            return kernel, kernel, (0,) * len(kernel), (1,) * len(kernel), weight
    return None


def _regrouped(weight: np.ndarray, groups: int, fewer: int) -> np.ndarray:
    """A grouped weight as (fewer, O/fewer, I/fewer, *kernel), zeros between former groups."""
    rows, columns = len(weight) // groups, weight.shape[1]
    merged = groups // fewer
    shape = (fewer, merged, rows, merged, columns, *weight.shape[2:])
    blocks = np.zeros(shape, weight.dtype)
    parts = weight.reshape(fewer, merged, rows, columns, *weight.shape[2:])
    for i in range(merged):
        blocks[:, i, :, i] = parts[:, i]
    return blocks.reshape(fewer, merged * rows, merged * columns, *weight.shape[2:])
