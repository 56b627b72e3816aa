"""Options that are wrong: where a module is read with others, that is the one finding."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from snncc.diagnostics import Finding, refuse
from snncc.frontends.layout import USUAL, Layout

Reads = Callable[[torch.Tensor, Layout], bool]
"""Whether the module is read without an error on this example in this layout, over time."""

_OF_LAYOUTS = frozenset({
    "SNN112", "SNN301", "SNN306", "SNN309", "SNN310", "SNN314", "SNN315", "SNN318",
})  # fmt: skip
"""What may be said of a module whose axes are taken for others."""


def wrong_option(
    errors: Sequence[Finding], example: torch.Tensor, layout: Layout, time_steps: int | None,
    reads: Reads,
) -> Finding | None:  # fmt: skip
    """The option behind ``errors``, the findings of a reading with ``layout`` and T."""
    if time_steps is not None:
        return _wrong_steps(example, layout, time_steps, reads)
    if errors[0].code not in _OF_LAYOUTS:
        return None
    others = [each for each in USUAL if each != layout and _has_axes(each, example.dim())]
    fitting = [each for each in others if reads(example, each)]
    if len(fitting) != 1:
        return None
    said = f"with layout {layout} the module cannot be read, and with {fitting[0]} it can"
    help = f'say layout="{fitting[0]}", if that is the order of the axes of the input'
    return refuse("SNN316", said, help=help).findings[0]


def _has_axes(layout: Layout, rank: int) -> bool:
    return rank > len(layout.replace("F", ""))


def _wrong_steps(
    example: torch.Tensor, layout: Layout, time_steps: int, reads: Reads
) -> Finding | None:
    """Where a module is read without ``time_steps``, it runs over time by itself."""
    if time_steps < 1 or "T" in layout:
        return None
    whole = example.expand(time_steps, *example.shape)
    for data, order, more in (
        (example, layout, ""), (whole, f"T{layout}", " and give it (T, N, …)"),
    ):  # fmt: skip
        if reads(data, order):
            said = f"time_steps={time_steps} says that the module computes one step, and it "
            help = f"leave time_steps out{more}"
            return refuse("SNN316", f"{said}runs over time itself", help=help).findings[0]
    return None
