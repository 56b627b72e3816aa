"""Neurons and weights in the whole numbers that Loihi's registers hold (design, section 4).

One unit of a weight or a threshold is ``ONE`` of a membrane: below it there are six fraction bits.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from snncc.ir.graph import Tensors
from snncc.ir.ops import (
    Conv,
    Dense,
    Number,
    Op,
    Ref,
    Reset,
    Reshape,
    Scale,
    Sparse,
    When,
    WholeSpiking,
    check_reset,
)

Whole = int | Ref
"""One whole number for all, or the name of a tensor of them that broadcasts over the features."""

ONE = 1 << 6
UNITY = 1 << 12
"""What decays are fractions of."""
MEMBRANE_LIMIT = (1 << 23) - 1
FORGET = UNITY
"""The ``dv`` of a neuron without memory; no register holds it (see FixedNeuron)."""

RANGES: Mapping[str, tuple[int, int]] = {
    "vth": (0, (1 << 17) - 1),
    "dv": (0, FORGET),
    "du": (0, UNITY - 1),
    "bias_mant": (-UNITY, UNITY - 1),
    "bias_exp": (0, 7),
    "initial": (-MEMBRANE_LIMIT, MEMBRANE_LIMIT),
}
"""The smallest and the largest value of each register (Lava 0.10, ``lava.proc.lif.models``)."""

WEIGHTS = (-256, 254)
"""Synapses of mixed sign hold the even numbers from here to there."""


@dataclass(frozen=True)
class FixedNeuron:
    """The neuron of Loihi in whole numbers, bit for bit as Lava 0.10 computes it.

    With dec(x, k) = sign(x)·⌊|x|·(4096 − k) / 4096⌋ and a the sum of all projections, a step is

        u ← dec(u, du + 1) + 64·a, and where that leaves ±2²³, 2²⁴ nearer to 0, once
        v ← dec(v, dv) + u + bias_mant·2^bias_exp, held within ±(2²³ − 1)
        s = [v > 64·vth];  hard: v ← 0 where s, soft: v ← v − 64·vth·s, none: v stays

    from u = 0 and v = ``initial``. The defaults have no synaptic current (``du`` 4095) and no leak.
    ``dv`` 4095 forgets a membrane below 4096 and leaves 1/4096 of others; 4096 forgets all: Lava's
    LIFReset does it with a reset at every step.

    What Lava's own processes do not have: a membrane that does not start at 0, other resets than
    hard, ``when`` as in ``Neuron``, and ``bias_into="current"``, where the bias goes into u.
    """

    vth: Whole
    dv: Whole = 0
    du: Whole = UNITY - 1
    bias_mant: Whole = 0
    bias_exp: Whole = 6
    initial: Whole = 0
    reset: Reset = "hard"
    when: When = "now"
    bias_into: Literal["membrane", "current"] = "membrane"

    def __post_init__(self) -> None:
        check_reset(self.reset, self.when)

    @property
    def is_memoryless(self) -> bool:
        """Whether a step depends on nothing before it."""
        return self.dv == FORGET and self.du == UNITY - 1 and self.when == "now"

    @property
    def is_stock(self) -> bool:
        """Whether Lava's own processes compute it."""
        return not self.variant and self.initial == 0

    @property
    def variant(self) -> str:
        """What it is more than Lava's own processes compute, in words; empty if nothing."""
        parts = [] if self.when == "now" else ["a reset one step late"]
        parts += {"hard": [], "soft": ["a soft reset"], "none": ["no reset"]}[self.reset]
        parts += [] if self.bias_into == "membrane" else ["a bias of its synaptic current"]
        parts += ["decays of their own"] if isinstance(self.dv, Ref) else []
        forgets_some = self.dv == FORGET and not self.is_memoryless
        parts += ["a membrane without memory"] if forgets_some else []
        return " and ".join(parts)

    def numbers(self) -> Iterator[tuple[str, Whole]]:
        """Each register that holds numbers, by name."""
        for name in RANGES:
            yield name, getattr(self, name)


def misfits(neuron: FixedNeuron, tensors: Tensors) -> Iterator[str]:
    """What no register of the neuron can hold, in words."""
    for name, number in neuron.numbers():
        values = np.asarray(tensors[number] if isinstance(number, Ref) else number)
        low, high = RANGES[name]
        if values.dtype.kind not in "iu":
            yield f"{name} is {values.dtype} and no whole number"
        elif values.size and not low <= values.min() <= values.max() <= high:
            yield f"{name} goes from {values.min()} to {values.max()}, beyond {low} to {high}"


def weight_misfits(chain: tuple[Op, ...], tensors: Tensors) -> Iterator[str]:
    """What no synapse can hold of a map from spikes, in words.

    A map is one Conv, Dense, Sparse or Scale, apart from Reshapes: even the identity has a weight.
    """
    weighing = [op for op in chain if not isinstance(op, Reshape)]
    numbers = [number for op in weighing if (number := weights(op)) is not None]
    if len(weighing) != 1 or not numbers:
        yield "is not one conv, dense, sparse or scale"
        return
    values = np.asarray(tensors[numbers[0]] if isinstance(numbers[0], Ref) else numbers[0])
    low, high = WEIGHTS
    if np.any(values % 2):
        yield "has weights that are not even whole numbers"
    elif values.size and not low <= values.min() <= values.max() <= high:
        yield f"has weights from {values.min():g} to {values.max():g}, beyond {low} to {high}"


def weights(op: Op) -> Number | None:
    """The numbers that ``op`` multiplies spikes with; None where it only moves them."""
    match op:
        case Conv() | Dense():
            return op.weight
        case Sparse():
            return op.data
        case Scale():
            return op.factor
    return None


def finest(ops: Iterable[Op], tensors: Tensors) -> int:
    """The largest power of two, from 2 to 128, of which all weights of ``ops`` are multiples."""
    common = -WEIGHTS[0] // 2
    for op in ops:
        number = weights(op)
        if number is not None:
            values = np.asarray(tensors[number] if isinstance(number, Ref) else number)
            common = math.gcd(common, int(np.gcd.reduce(values.astype(np.int64), axis=None)))
    return common


def registers_of(
    op: WholeSpiking, tensors: Tensors, name: str, offset: np.ndarray | None = None
) -> tuple[FixedNeuron, dict[str, np.ndarray]]:
    """The neuron ``op`` as it stands in the registers, and its tensors, named after ``name``.

    ``offset``: a constant part of its input. Raises ValueError, saying what no register can hold.
    """
    made: dict[str, np.ndarray] = {}

    def held(field: str, numbers: np.ndarray, dtype: type) -> Whole:
        low, high = RANGES[field]
        if np.any(numbers != np.rint(numbers)):
            raise ValueError(f"{field} holds numbers that are not whole")
        if numbers.min() < low or numbers.max() > high:
            extent = f"from {numbers.min():g} to {numbers.max():g}"
            raise ValueError(f"{field} goes {extent}, beyond {low} to {high}")
        if np.all(numbers == numbers.flat[0]):
            return int(numbers.flat[0])
        made[ref := Ref(f"{name}.{field}")] = numbers.astype(dtype)
        return ref

    def values(number: Number) -> np.ndarray:
        known = tensors[number] if isinstance(number, Ref) else number
        return np.asarray(known, np.float64)

    bias, constant = values(op.bias), np.zeros(()) if offset is None else offset
    into: Literal["membrane", "current"] = "membrane"
    if op.current_decay != 0 and np.any(constant):
        if np.any(bias):
            raise ValueError("one bias is of its current and one of its membrane")
        into = "current"
    if op.decay is None or not op.strict or op.v_reset or op.keep or op.initial:
        raise ValueError("its reset or its start is none of the registers'")
    return FixedNeuron(
        vth=held("vth", values(op.threshold), np.int32),
        dv=held("dv", UNITY * (1 - values(op.decay)), np.int16),
        du=held("du", UNITY * (1 - values(op.current_decay)) - 1, np.int16),
        bias_mant=held("bias_mant", bias + constant, np.int16),
        reset=op.reset,
        when=op.when,
        bias_into=into,
    ), made


def copier(weight: int) -> FixedNeuron:
    """A neuron that says what its one input says, through a synapse of ``weight``."""
    return FixedNeuron(vth=weight - 1, dv=UNITY - 1 if weight * ONE < UNITY else FORGET)
