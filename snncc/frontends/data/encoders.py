"""Encoders: real values into spikes, for networks trained with an encoder in front of them.

The spikes of a sample depend on its values, its number in the recordings and the seed alone: they
are the same for any size of chunks and in any order.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from snncc.diagnostics import Finding, refuse
from snncc.frontends.data.recordings import Array, Stored
from snncc.frontends.data.values import Demand
from snncc.frontends.layout import Layout, layout_of, roles

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Encoder(ABC):
    """Turns one sample into T steps of spikes.

    Its fields are its options, as in ``poisson{seed=1}``. It is called with
    ``values`` (*F), the number of the ``sample`` and ``steps``, and gives uint8 (T, *F).
    """

    name: ClassVar[str]

    @abstractmethod
    def __call__(self, values: Array, sample: int, steps: int) -> Array: ...

    def check(self, steps: int) -> None:  # noqa: B027
        """Raise SnnccError (SNN316) for a number of steps or options that do not go together."""

    def demands(self) -> list[Demand]:
        """What the values must be; by default from 0 to 1."""
        return [
            Demand(
                lambda x: (x < 0) | (x > 1),
                f"outside of 0 to 1, which the encoder {self.name} takes",
                "scale the data to 0 to 1, as in training",
            )
        ]

    def findings(self, bounds: tuple[float, float], source: str) -> tuple[Finding, ...]:
        """What a user should know of values that go from the one of ``bounds`` to the other."""
        return ()

    def __str__(self) -> str:
        said = ",".join(f"{f.name}={getattr(self, f.name)}" for f in fields(self))
        return f"{self.name}{{{said}}}"


@dataclass(frozen=True)
class Poisson(Encoder):
    """A spike at each step with probability x, independently: 0 never fires, 1 always.

    The distribution of SpikingJelly's PoissonEncoder (``rand_like(x).le(x)``) and of snnTorch's
    ``spikegen.rate``; the random numbers are those of NumPy's Philox, keyed by seed and sample.
    """

    seed: int = 0

    name: ClassVar[str] = "poisson"

    def __call__(self, values: Array, sample: int, steps: int) -> Array:
        key = np.array([self.seed, sample], np.uint64)
        drawn = np.random.Generator(np.random.Philox(key=key)).random((steps, *values.shape))
        return (1 - drawn <= values).astype(np.uint8)  # 1 - drawn is above 0 and at most 1

    def check(self, steps: int) -> None:
        if not 0 <= self.seed < 1 << 64:
            raise refuse("SNN316", f"the seed {self.seed} is not from 0 to 2**64 - 1")

    def demands(self) -> list[Demand]:
        return []

    def findings(self, bounds: tuple[float, float], source: str) -> tuple[Finding, ...]:
        low, high = bounds
        if low >= 0 and high <= 1:
            return ()
        said = f"the inputs in {source} go from {low:.4g} to {high:.4g}, and poisson takes"
        return (Finding("SNN521", f"{said} them as probabilities"),)


@dataclass(frozen=True)
class Latency(Encoder):
    """One spike, the earlier the larger x is: SpikingJelly's LatencyEncoder.

    linear: at step (T - 1)(1 - x); log: at (T - 1) - ln(αx + 1), where α makes that 0 for x = 1.
    Both are rounded to the nearest step, in the floats of the data, by the same operations of
    torch.
    """

    code: Literal["linear", "log"] = "linear"

    name: ClassVar[str] = "latency"

    def __call__(self, values: Array, sample: int, steps: int) -> Array:
        x = _floats(values)
        if self.code == "log":
            alpha = math.exp(steps - 1.0) - 1.0
            times = (steps - 1.0 - (alpha * x + 1.0).log()).round()
        else:
            times = ((steps - 1.0) * (1.0 - x)).round()
        return _at(times, steps)

    def check(self, steps: int) -> None:
        if self.code == "log" and steps > _LONGEST:
            said = f"latency{{code=log}} has at most {_LONGEST} steps, not {steps}"
            raise refuse("SNN316", said, help="use fewer steps: e**T is no float32 beyond that")


_LONGEST = 89
"""ln of the largest float32 is 88.7, and α is e**(T - 1) - 1."""


@dataclass(frozen=True)
class SnnTorchLatency(Encoder):
    """One spike, the earlier the larger x is: snnTorch's ``spikegen.latency``, with its options.

    A spike behind the last step is left out, as with ``bypass=True``. ``normalize`` goes with
    ``linear`` only: of the other code it depends on the batch that a sample is in.
    """

    tau: float = 1.0
    threshold: float = 0.01
    linear: bool = False
    normalize: bool = False
    clip: bool = False
    epsilon: float = field(default=1e-7)

    name: ClassVar[str] = "snntorch-latency"

    def __call__(self, values: Array, sample: int, steps: int) -> Array:
        x = _floats(values)
        if self.linear:
            tau = steps - 1 if self.normalize else self.tau
            times = (-tau * (x - 1)).clamp_max(-tau * (self.threshold - 1))
        else:
            above = x.clamp(self.threshold + self.epsilon)
            times = self.tau * (above / (above - self.threshold)).log()
        spikes = _at(times.round(), steps)
        return spikes * ~(x < self.threshold).numpy() if self.clip else spikes

    def check(self, steps: int) -> None:
        if self.normalize and not self.linear:
            said = "normalize of snntorch-latency goes with linear=True only"
            raise refuse("SNN316", said, help="without linear its times depend on the batch")
        if not (0 < self.threshold < 1 and self.tau > 0):
            said = "snntorch-latency takes a threshold between 0 and 1 and a tau above 0"
            raise refuse("SNN316", said)


ENCODERS: dict[str, type[Encoder]] = {
    each.name: each for each in (Poisson, Latency, SnnTorchLatency)
}


def encoder_of(spec: str, seed: int | None = None) -> Encoder:
    """The encoder that ``name`` or ``name{option=value,...}`` says, with ``seed`` where it draws.

    Raises SnnccError: SNN313 for a name that is not there, SNN316 for other options.
    """
    found = re.fullmatch(r"([\w-]+)(?:\{(.*)\})?", spec)
    if found is None:
        raise refuse("SNN316", f"{spec!r} is not of the form name{{option=value}}")
    if found[1] not in ENCODERS:
        known = ", ".join(ENCODERS)
        raise refuse("SNN313", f"there is no encoder {found[1]!r}; there are {known}")
    kind = ENCODERS[found[1]]
    chosen = {}
    defaults: dict[str, Any] = {f.name: f.default for f in fields(kind)}
    for part in filter(None, (found[2] or "").split(",")):
        key, _, text = (each.strip() for each in part.partition("="))
        if key not in defaults:
            known = ", ".join(defaults)
            raise refuse("SNN316", f"{kind.name} has no option {key!r}; it has {known}")
        chosen[key] = _option(kind, key, text, defaults[key])
    if seed is not None:
        if "seed" not in defaults:
            raise refuse("SNN316", f"--seed: {kind.name} draws nothing", help="leave it out")
        chosen["seed"] = seed
    return kind(**chosen)


def _option(kind: type[Encoder], key: str, text: str, default: Any) -> Any:
    read = {
        bool: {"true": True, "True": True, "false": False, "False": False}.__getitem__,
        str: {"linear": "linear", "log": "log"}.__getitem__,
    }.get(type(default), type(default))
    try:
        return read(text)
    except (KeyError, ValueError):
        raise refuse("SNN316", f"{text!r} is no value for {key} of {kind.name}") from None


@dataclass(frozen=True, eq=False)
class Encoded:
    """Real recordings as spikes: ``raw`` has no axis of time, ``layout`` says where that goes."""

    raw: Stored
    axis: int
    encoder: Encoder
    steps: int
    layout: Layout

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(np.uint8)

    @property
    def shape(self) -> tuple[int, ...]:
        sizes = [self.raw.shape[self.axis], self.steps, *self._features]
        return tuple(sizes[place] for place in self._order)

    @property
    def _features(self) -> tuple[int, ...]:
        return (*self.raw.shape[: self.axis], *self.raw.shape[self.axis + 1 :])

    @property
    def _order(self) -> tuple[int, ...]:
        """Where each axis of the layout is in (N, T, *F)."""
        features = iter(range(2, 2 + len(self._features)))
        axes = roles(self.layout, len(self.raw.shape) + 1)
        return tuple({"N": 0, "T": 1}[role] if role != "F" else next(features) for role in axes)

    def take(self, axis: int, start: int, stop: int) -> Array:
        samples = np.moveaxis(self.raw.take(self.axis, start, stop), self.axis, 0)
        spikes = np.empty((stop - start, self.steps, *self._features), np.uint8)
        for place, values in enumerate(samples):
            spikes[place] = self.encoder(values, start + place, self.steps)
        return np.ascontiguousarray(spikes.transpose(self._order))


def without_time(
    takes: dict[Layout, tuple[int, ...]],
) -> dict[Layout, tuple[Layout, tuple[int, ...], int]]:
    """What is read for an encoder: by layout without T that with T, the shape without, and T.

    Raises SnnccError (SNN316) for a network whose input does not change from step to step.
    """
    found = {}
    for layout, shape in takes.items():
        axes = roles(layout, len(shape))
        if "T" in axes:
            time = axes.index("T")
            rest = (*axes[:time], *axes[time + 1 :])
            found[layout_of(rest)] = (layout, (*shape[:time], *shape[time + 1 :]), shape[time])
    if not found:
        said = "--encode: the network takes the same input at every step, not spikes"
        raise refuse("SNN316", said, help="leave --encode out, or compile it with --time-steps")
    return found


def _floats(values: Array) -> torch.Tensor:
    """As torch has them; whole numbers and truth values in float32."""
    import torch

    tensor = torch.from_numpy(np.ascontiguousarray(values))
    return tensor if tensor.is_floating_point() else tensor.float()


def _at(times: torch.Tensor, steps: int) -> Array:
    """A spike at each of ``times`` (*F), as (T, *F); none where it lies behind the last step."""
    when = np.arange(steps).reshape(-1, *[1] * times.dim())
    spikes: Array = (times.long().numpy()[None] == when).astype(np.uint8)
    return spikes
