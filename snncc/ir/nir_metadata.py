"""What this compiler writes beside the values of a NIR file, under names that begin with `PREFIX`.

The values themselves say the network to every reader, in float32. The metadata say the same exactly
and name what NIR has no field for. Whoever reads both holds them against each other.

of the graph    format, dt, discretise, input, layout, time_steps (0: any number)
of a neuron     the fields of `snncc.ir.ops.Spiking`; gain: what its input is multiplied by in the
                layers in front; unit: what a membrane of 1 of the file is worth
of a layer      weight, bias or scale in float64; gain, as above, a number or one per channel
of an Output    over_time
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from snncc.ir.ops import Dynamics, Ref, Spiking

PREFIX = "snncc_"
FORMAT = 1


def of_neuron(op: Dynamics, tensors: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The fields of a neuron: numbers, words, and arrays that broadcast over its features."""
    found: dict[str, Any] = {}
    for field in fields(Spiking):
        value = getattr(op, field.name)
        if isinstance(value, Ref):
            value = np.asarray(tensors[value], np.float64)
            value = value if value.ndim else float(value)
        if value is not None:
            found[PREFIX + field.name] = value
    return found


def neuron_of(metadata: Mapping[str, Any]) -> tuple[Spiking, dict[str, np.ndarray]]:
    """The neuron that `of_neuron` wrote, and its tensors by the names of the fields.

    Raises ValueError for values that no neuron has.
    """
    found: dict[str, Any] = {}
    tensors: dict[str, np.ndarray] = {}
    for field in fields(Spiking):
        value = metadata.get(PREFIX + field.name)
        if value is None:
            continue
        if field.name in ("reset", "when"):
            if not isinstance(value, str) or value not in _WORDS[field.name]:
                raise ValueError(f"{field.name} is {str(value)[:40]!r}")
            found[field.name] = value
        elif field.name in ("strict", "decay_input"):
            if not isinstance(value, bool | int):
                raise ValueError(f"{field.name} is {str(value)[:40]!r}")
            found[field.name] = bool(value)
        elif isinstance(value, np.ndarray) and field.name != "v_reset":
            tensors[field.name] = np.asarray(value, np.float64)
            found[field.name] = Ref(field.name)
        elif isinstance(value, int | float) and math.isfinite(value):
            found[field.name] = float(value)
        else:
            raise ValueError(f"{field.name} is not a number")
    return Spiking(**found), tensors


_WORDS = {"reset": ("hard", "soft", "none"), "when": ("now", "next", "both")}


def word(metadata: Mapping[str, Any], name: str) -> str:
    """A text of the metadata; empty where there is none, "?" where it is something else."""
    value = metadata.get(PREFIX + name, "")
    return value if isinstance(value, str) else "?"


def numbers(metadata: Mapping[str, Any], name: str, otherwise: Any) -> np.ndarray:
    """Numbers of the metadata in float64; NaN, which equals nothing, where it is something else."""
    value = metadata.get(PREFIX + name, otherwise)
    fits = isinstance(value, np.ndarray | int | float)
    return np.asarray(value if fits else np.nan, np.float64)


def charge(
    op: Dynamics, tensors: Mapping[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Decay d, gain g and offset o of a neuron: its membrane becomes d·v + g·x + o."""
    leak = number(op.leak, tensors)
    if op.decay is not None:
        return number(op.decay, tensors), np.ones(()), np.zeros(())
    return 1 - leak, leak if op.decay_input else np.ones(()), leak * op.v_reset


def number(value: float | Ref, tensors: Mapping[str, np.ndarray]) -> np.ndarray:
    """A number of a neuron in float64, as it broadcasts over the features."""
    return np.asarray(tensors[value] if isinstance(value, Ref) else value, np.float64)
