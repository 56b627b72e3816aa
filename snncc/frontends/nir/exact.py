"""What this compiler wrote beside the values of a NIR file, held against the values.

The metadata (`snncc.ir.nir_metadata`) are exact where the values are rounded to float32, and say
what NIR has no field for. They are used where the file says that this compiler wrote it, and only
if both say the same network: another tool may have changed the one and not the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from snncc.diagnostics import Location, SnnccError, refuse
from snncc.frontends.nir.file import Part, Parts
from snncc.frontends.nir.timing import NEURONS, Step, is_own
from snncc.ir.nir_metadata import FORMAT, PREFIX, charge, neuron_of, number, numbers, word
from snncc.ir.ops import Spiking

NEAR = 1e-5
"""Relative difference between a float64 and what a file keeps of it in float32, generously."""


@dataclass(frozen=True)
class Facts:
    """What the file says of the whole: T, the kind of input, "N" where it is the same at every
    step."""

    time_steps: int | None
    input: str
    layout: str


def facts(parts: Parts) -> Facts | None:
    """What this compiler wrote of the whole; None for a file that it did not write.

    Raises SnnccError (SNN305) for a format that is not known or values that do not fit.
    """
    about = parts.metadata
    if not is_own(parts):
        return None
    found, steps = about[f"{PREFIX}format"], about.get(f"{PREFIX}time_steps", 0)
    kind, layout = word(about, "input"), word(about, "layout")
    if not isinstance(found, int) or found != FORMAT:
        said = f"{parts.source} has the format {str(found)[:20]} of snncc, and this one reads 1"
        raise refuse("SNN305", said, help="read it with a newer snncc")
    fits = isinstance(steps, int) and 0 <= steps <= 1 << 16
    if not fits or kind not in ("spike", "count", "analog") or layout not in ("TN", "N"):
        raise refuse("SNN305", f"the metadata of {parts.source} are damaged", help=_HELP)
    if layout == "N" and not steps:
        said = f"the metadata of {parts.source} do not say how many steps the input lasts"
        raise refuse("SNN305", said, help=_HELP)
    return Facts(steps or None, kind, layout)


def exact(parts: Parts) -> Parts:
    """The layers with the values of their metadata. Raises SnnccError (SNN305) where they are
    others than those of the file."""
    _check_gains(parts)
    found = {name: _layer(name, part) for name, part in parts.parts.items()}
    return replace(parts, parts=found)


def _layer(name: str, part: Part) -> Part:
    if part.kind in NEURONS:
        return part
    gain = _gain(part)
    values = dict(part.values)
    for field in ("weight", "bias", "scale"):
        shown = part.values.get(field)
        if shown is None:
            continue
        own = numbers(part.metadata, field, shown)
        if own.shape != shown.shape or not _same(shown, own * _by_row(gain, own, name)):
            raise _contradiction(name, field)
        values[field] = own
    return replace(part, values=values)


def _by_row(gain: np.ndarray, own: np.ndarray, name: str) -> np.ndarray:
    """A gain by channel, for the first axis of a tensor."""
    if gain.ndim != 1:
        fits = not gain.ndim or gain.shape == own.shape
    else:
        fits = bool(own.ndim) and len(own) == len(gain)
        gain = gain.reshape(-1, *(1,) * (own.ndim - 1))
    if not fits:
        raise _contradiction(name, "gain")
    return gain


def _gain(part: Part) -> np.ndarray:
    return numbers(part.metadata, "gain", 1.0)


def _check_gains(parts: Parts) -> None:
    """A neuron and all layers in front of it agree on what its input is multiplied by."""
    for before, after in parts.edges:
        source, target = parts.parts[before], parts.parts[after]
        expected = _gain(target) if target.kind in NEURONS else np.ones(())
        given = np.ones(()) if source.kind in NEURONS else _gain(source)
        if not np.array_equal(expected, given):
            name = before if target.kind not in NEURONS else after
            raise _contradiction(name, "gain")


def neuron(
    name: str, part: Part, step: Step, shape: tuple[int, ...]
) -> tuple[Spiking, Mapping[str, np.ndarray]]:
    """The neuron of the metadata, which is ``step`` but for rounding; its features are ``shape``.

    Raises SnnccError (SNN305) where it is another.
    """
    try:
        op, tensors = neuron_of(part.metadata)
    except ValueError as error:
        said = f"the metadata of `{name}` are damaged: {error}"
        raise refuse("SNN305", said, Location(name), help=_HELP) from None
    for field, array in tensors.items():
        if not _fits(array, shape):
            raise _contradiction(name, field)
    unit = numbers(part.metadata, "unit", 1.0)
    if not (unit > 0).all():
        raise _contradiction(name, "unit")
    scale = _over(_gain(part), shape)
    if not _fits(unit, shape) or not _fits(scale, shape):
        raise _contradiction(name, "gain")
    if not scale.all():
        raise _contradiction(name, "gain")
    decay, gain, offset = charge(op, tensors)
    unit, scale = np.broadcast_to(unit, shape), np.broadcast_to(scale, shape)
    if step.current_decay is None and op.current_decay != 0:
        raise _contradiction(name, "current_decay")
    stays = np.zeros(()) if step.current_decay is None else step.current_decay
    pairs = {
        "decay": (step.decay, decay),
        "gain": (step.gain, gain / (scale * unit)),
        "threshold": (step.threshold, number(op.threshold, tensors) / unit),
        "v_leak": (step.offset, offset / unit),
        "current_decay": (stays, number(op.current_decay, tensors)),
    }
    if op.reset == "hard":
        pairs["v_reset"] = (step.v_reset, op.v_reset / unit)
    for field, (shown, own) in pairs.items():
        if not _same(shown, own, 1e-6 if field.endswith("decay") else 0.0):
            raise _contradiction(name, field)
    return op, tensors


def _fits(array: np.ndarray, shape: tuple[int, ...]) -> bool:
    """Whether it broadcasts over ``shape``."""
    try:
        return np.broadcast_shapes(array.shape, shape) == shape
    except ValueError:
        return False


def _over(gain: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A gain by channel, as it broadcasts over the neurons."""
    rank = len(shape)
    return gain.reshape(-1, *(1,) * (rank - 1)) if gain.ndim == 1 and rank > 1 else gain


def _same(shown: np.ndarray, own: np.ndarray, near: float = 0.0) -> bool:
    """Whether both are equal but for the rounding of float32, or ``near`` each other."""
    try:
        least = max(1e-37, near, NEAR * 1e-2 * float(np.abs(own).max(initial=0.0)))
        return bool(np.isclose(shown, own, rtol=NEAR, atol=least).all())
    except ValueError:  # shapes that do not fit
        return False


def _contradiction(name: str, field: str) -> SnnccError:
    said = f"`{field}` of `{name}` is one thing in the file's values and another in its metadata"
    return refuse("SNN305", said, Location(name), help=_HELP)


_HELP = "write the file again, or take the metadata out whose names begin with snncc_"
