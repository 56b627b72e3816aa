"""Layers that know nothing of time, applied to every step at once."""

from __future__ import annotations

from torch import Tensor, nn


class OverTime(nn.Module):
    """Applies a layer on (N, …) to (T, N, …): the T steps are folded into the batch and back.

    A batch norm inside therefore takes its statistics over T·N, as in dual-stream training.
    """

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """(T, N, …) to (T, N, …)."""
        y: Tensor = self.layer(x.flatten(0, 1)).unflatten(0, (x.shape[0], x.shape[1]))
        return y
