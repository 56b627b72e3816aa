"""Writes into a tensor that are seen, and what the tensor is from then on.

``y[:, :, 0] = c`` of constants is an addition: into the zeros of a `Pad`, which is padding with a
constant, or to the product of y with what is kept of it. ``y.copy_(x)`` and ``y[...] = x`` of all
of a tensor make it ``x``.
"""

from __future__ import annotations

import numpy as np
import torch

from snncc.frontends.torch.axes import describe, written_out
from snncc.frontends.torch.calls.elementwise import cast, without_lead
from snncc.frontends.torch.calls.moves import is_whole
from snncc.frontends.torch.calls.table import filled, on
from snncc.frontends.torch.recorder import Recorder
from snncc.frontends.torch.tracked import Call


@on("copy", "~input src ~non_blocking")
def _overwritten(recorder: Recorder, call: Call) -> None:
    source, result = call["src"], call.result
    same = recorder.is_tracked(source) and source.shape == result.shape
    if not same or result._base is not None:
        raise recorder.refuse("SNN310", "copy_ writes into part of a tensor, or a constant")
    cast(recorder, source, result)


@on("write_part", "input where value")
def _part_written(recorder: Recorder, call: Call) -> None:
    x, result = call["input"], call.result
    node, axes = recorder.solid(x)
    items = written_out(call["where"], len(axes))
    for item, role, size in zip(items, axes, result.shape, strict=True):
        whole = isinstance(item, slice) and is_whole(recorder, role, size, item)
        if role != "F" and not whole:
            raise recorder.refuse("SNN310", f"__setitem__ writes into part of {describe(role)}")
    values = torch.zeros(result.shape, dtype=torch.float64)
    written = torch.zeros(result.shape, dtype=torch.bool)
    values[tuple(items)] = call["value"]
    written[tuple(items)] = True
    there: np.ndarray = without_lead(values, axes).numpy()
    kept: np.ndarray = ~without_lead(written, axes).numpy()
    recorder.bind(result, filled(recorder, node, there, kept, axes), axes)
