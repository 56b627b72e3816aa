"""What a neuron fires: as its module says, and as its reading says."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from snncc.frontends.neurons import NeuronModule
from snncc.ir.interpreter import TensorStore, apply, fire_as_written
from snncc.ir.ops import Op


def spikes_of(output: Any) -> torch.Tensor:
    """What a neuron yields, without the states it may return behind."""
    spikes: torch.Tensor = output[0] if isinstance(output, tuple) else output
    return spikes


def input_first(
    forward: Callable[..., Any], given: Sequence[Any], named: Mapping[str, Any]
) -> tuple[Any, Sequence[Any], dict[str, Any]]:
    """The input of a neuron, by whatever name it was given, and the other arguments."""
    if given:
        return given[0], given[1:], dict(named)
    first = next(iter(inspect.signature(forward).parameters), "")
    if not named:
        raise TypeError("a neuron is called without an input")
    first = first if first in named else next(iter(named))
    return named[first], (), {name: value for name, value in named.items() if name != first}


def fire_in_levels(reading: NeuronModule, x: torch.Tensor, store: TensorStore) -> torch.Tensor:
    """What a neuron that reads so yields for (T, N, …)."""
    current = each_step(reading.before, x, store)
    total = torch.zeros_like(current)
    for level, height in zip(reading.levels, reading.heights, strict=True):
        total = total + height * fire_as_written(level, current, store)
    return each_step(reading.after, total, store)


def each_step(ops: Sequence[Op], x: torch.Tensor, store: TensorStore) -> torch.Tensor:
    """``ops``, one after the other, on every step of (T, N, …)."""
    for op in ops:
        x = apply(op, [x.flatten(0, 1)], store).unflatten(0, x.shape[:2])
    return x


def one_later(steps: torch.Tensor) -> torch.Tensor:
    return torch.cat([torch.zeros_like(steps[:1]), steps[:-1]])
