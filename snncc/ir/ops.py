"""The ops of a Graph and the linear maps of a Network: plain values, no behaviour.

Every op works on one time step of one sample: axes are feature axes, the batch axis N is not
counted and the time axis T is the business of the interpreter. A tensor is named by a ``Ref``
into the ``tensors`` of the Graph or Network that holds the op, so that shared weights stay shared.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Literal, get_args


class Ref(str):
    """The name of a tensor."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"@{self!s}"


Number = float | Ref
"""One number for all, or the name of a tensor that broadcasts over the feature axes."""


@dataclass(frozen=True)
class Op:
    """Base of all ops."""

    def refs(self) -> Iterator[Ref]:
        """The tensors this op reads."""
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Ref):
                yield value


# -- sources ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Input(Op):
    """What the user feeds in. ``kind`` is declared, never measured."""

    kind: Literal["spike", "count", "analog"]


@dataclass(frozen=True)
class Constant(Op):
    """A tensor that does not depend on the input; broadcasts over the feature axes."""

    value: Number


# -- linear ops ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Conv(Op):
    """Cross-correlation as in torch, zero padding. Weight (O, I/groups, *kernel), bias (O,)."""

    weight: Ref
    bias: Ref | None = None
    stride: tuple[int, ...] = (1, 1)
    padding: tuple[int, ...] = (0, 0)
    dilation: tuple[int, ...] = (1, 1)
    groups: int = 1


@dataclass(frozen=True)
class ConvTranspose(Op):
    """The transpose of a ``Conv``, as in torch. Weight (I, O/groups, *kernel), bias (O,).

    ``output_padding`` makes the output that much longer at the end of each axis.
    """

    weight: Ref
    bias: Ref | None = None
    stride: tuple[int, ...] = (1, 1)
    padding: tuple[int, ...] = (0, 0)
    output_padding: tuple[int, ...] = (0, 0)
    dilation: tuple[int, ...] = (1, 1)
    groups: int = 1


@dataclass(frozen=True)
class Dense(Op):
    """x Wᵀ + b over the last feature axis. Weight (O, I), bias (O,)."""

    weight: Ref
    bias: Ref | None = None


@dataclass(frozen=True)
class Sparse(Op):
    """A matrix in CSR form from all features of the source, flattened, to ``shape``.

    ``data`` (nnz,), ``indices`` (nnz,), ``indptr`` (rows + 1,).
    """

    data: Ref
    indices: Ref
    indptr: Ref
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Pool(Op):
    """Average, sum or max over windows. Average divides as torch does (``count_padding``)."""

    kind: Literal["average", "sum", "max"]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...] = (0, 0)
    dilation: tuple[int, ...] = (1, 1)
    ceil: bool = False
    count_padding: bool = True


@dataclass(frozen=True)
class AdaptivePool(Op):
    """Average, sum or max pool to a given size, torch's windows."""

    size: tuple[int, ...]
    kind: Literal["average", "sum", "max"] = "average"


@dataclass(frozen=True)
class Norm(Op):
    """Batch norm in eval mode over feature axis 0; all tensors (C,).

    (x − mean) / √(variance + epsilon) · scale + shift; with ``outside`` the denominator is
    √variance + epsilon (tdBN of the MLF authors).
    """

    mean: Ref
    variance: Ref
    scale: Ref | None
    shift: Ref | None
    epsilon: float
    outside: bool = False


@dataclass(frozen=True)
class Scale(Op):
    """x · factor, elementwise."""

    factor: Number


@dataclass(frozen=True)
class Reshape(Op):
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Permute(Op):
    axes: tuple[int, ...]


@dataclass(frozen=True)
class Broadcast(Op):
    """Repeat axes of size 1 up to ``shape``."""

    shape: tuple[int, ...]


@dataclass(frozen=True)
class Pad(Op):
    """Zeros around: (before, after) for each feature axis."""

    widths: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Slice(Op):
    """Indices start, start + step, … below stop along one feature axis."""

    axis: int
    start: int
    stop: int
    step: int = 1


@dataclass(frozen=True)
class Concat(Op):
    """Arguments one after another along a feature axis."""

    axis: int


@dataclass(frozen=True)
class Reduce(Op):
    """Mean or sum over feature axes, which go (``keep``: stay with size 1)."""

    kind: Literal["mean", "sum"]
    axes: tuple[int, ...]
    keep: bool = False


@dataclass(frozen=True)
class Upsample(Op):
    """Nearest-neighbour repetition of the trailing axes by whole factors."""

    factors: tuple[int, ...]


# -- elementwise -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Elementwise(Op):
    """One function of ``snncc.ir.elementwise.ARITY``, applied value by value."""

    function: str


@dataclass(frozen=True)
class Identity(Op):
    """A copy, a cast, dropout in eval mode. ``what`` says which."""

    what: str = "identity"


@dataclass(frozen=True)
class Unread(Op):
    """What a front end could not read, for the reason that the finding ``code`` gives.

    Only a Graph that is checked has it; it has no meaning, and no text form. ``part`` counts the
    results of one call.
    """

    code: str
    message: str
    part: int = 0


# -- time ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AtStep(Op):
    """What its argument is at one step, the same for all steps.

    Only an unrolled Graph has it and `AllSteps`: reroll ends both, and neither has a text form.
    """

    step: int


@dataclass(frozen=True)
class AllSteps(Op):
    """Its arguments one after another, one for each step."""


@dataclass(frozen=True)
class Repeat(Op):
    """From here on the same value at every time step."""


@dataclass(frozen=True)
class OverTime(Op):
    """All steps into one: their mean, their sum, the last, or the largest value of each place."""

    kind: Literal["mean", "sum", "last", "max"]


@dataclass(frozen=True)
class Delay(Op):
    """What its argument was one step before, and ``initial`` at first.

    The one op of a Graph whose argument may come later: it closes a loop.
    """

    initial: Number = 0.0


Reset = Literal["hard", "soft", "none"]
When = Literal["now", "next", "both"]


def check_reset(reset: str, when: str) -> None:
    """Raise ValueError for a reset that is not known; it would be computed as none."""
    for word, known in ((reset, get_args(Reset)), (when, get_args(When))):
        if word not in known:
            raise ValueError(f"there is no reset {word!r}; there are {', '.join(known)}")


@dataclass(frozen=True)
class Dynamics(Op):
    """A neuron as its framework writes it, its membrane v starting at ``initial``.

    current: c = current_decay·c + x in place of x, where ``current_decay`` is not 0; c starts at
             ``current_initial``
    charge:  h = decay·v + x where ``decay`` is given, else
             h = v + leak·(x − (v − v_reset)) with ``decay_input``, else
             h = v − leak·(v − v_reset) + x          (leak = 1/τ; 0 for IF)
    fire:    s = [h ≥ threshold], or [h > threshold] with ``strict``
    reset:   hard v = v_reset + keep·(h − v_reset) where s; soft v = h − threshold·s; none v = h

    That is ``when="now"``. The others first ask the membrane left by the step before, with
    r = [v ≥ threshold] (or >), before it charges:

    next:    hard h ← v_reset + keep·(h − v_reset) where r, so that with keep = 0 the input of
             that step is lost; soft h ← h − threshold·r; then fire, and v = h
    both:    soft only: h ← h − threshold·r, fire, and v = h − threshold·(s − r)
    """

    leak: Number = 0.0
    decay_input: bool = False
    threshold: Number = 1.0
    reset: Reset = "hard"
    v_reset: float = 0.0
    initial: Number = 0.0
    strict: bool = False
    decay: Number | None = None
    current_decay: Number = 0.0
    when: When = "now"
    keep: Number = 0.0
    current_initial: Number = 0.0

    def __post_init__(self) -> None:
        check_reset(self.reset, self.when)


@dataclass(frozen=True)
class Spiking(Dynamics):
    """The spikes s of a neuron."""


@dataclass(frozen=True)
class WholeSpiking(Spiking):
    """The spikes of a neuron in Loihi's registers, which truncate what decays towards zero.

    x is rounded to a whole number, half to even. With tz(y) = trunc(64·y)/64 a step is

        c ← tz(current_decay·c) + x;  v ← tz(decay·v) + c + bias;  s = [v > threshold];  reset

    ``decay`` is given, both decays are multiples of 1/4096, ``threshold`` and ``bias`` are whole
    numbers, ``strict`` is True and all states start at 0. Currents wrap and membranes are held as
    those of `snncc.ir.registers.FixedNeuron` are, which this is in units of weight.
    """

    bias: Number = 0.0


@dataclass(frozen=True)
class Membrane(Dynamics):
    """The membrane of a neuron: v after the reset of the step, or ``before`` it h."""

    before: bool = False


# -- never between neurons -------------------------------------------------------------------


@dataclass(frozen=True)
class Normalise(Op):
    """A norm whose statistics come from the data: layer, group or instance norm.

    ``axes`` of the features share statistics (layer); ``groups`` of axis 0 (group, instance).
    """

    kind: Literal["layer", "group", "instance"]
    scale: Ref | None
    shift: Ref | None
    epsilon: float
    axes: tuple[int, ...] = ()
    groups: int = 1


@dataclass(frozen=True)
class Softmax(Op):
    axis: int
    log: bool = False


@dataclass(frozen=True)
class MatMul(Op):
    """Matrix product of two values over their last two feature axes."""


@dataclass(frozen=True)
class Argmax(Op):
    axis: int


OPS: dict[str, type[Op]] = {
    cls.__name__.lower(): cls
    for cls in (
        Input, Constant, Conv, ConvTranspose, Dense, Sparse, Pool, AdaptivePool, Norm, Scale,
        Reshape, Permute, Broadcast, Pad, Slice, Concat, Reduce, Upsample, Elementwise, Identity,
        Repeat, OverTime, Delay, Spiking, WholeSpiking, Membrane, Normalise, Softmax, MatMul,
        Argmax,
    )
}  # fmt: skip

LINEAR = (
    Conv, ConvTranspose, Dense, Sparse, Pool, AdaptivePool, Norm, Scale, Reshape, Permute,
    Broadcast, Pad, Slice, Reduce, Upsample, Identity,
)  # fmt: skip
"""Ops with one argument and an affine meaning (a max pool excepted: see ``is_linear``)."""


def is_linear(op: Op) -> bool:
    """One argument, and affine in it for every value of it."""
    return isinstance(op, LINEAR) and not is_max_pool(op)


def is_max_pool(op: Op) -> bool:
    return isinstance(op, Pool | AdaptivePool) and op.kind == "max"
