"""How many neurons of a multi-level network take no part: silent, or without a gradient."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from snncc.nn import MLF


@dataclass(frozen=True)
class Dormant:
    """Shares, 0 to 1, of the units of all `MLF` of a network over given inputs.

    A unit is one position (channel, row, column) of one MLF, its levels taken together.

    silent: units that never fire, in no step of no sample.
    never: units whose membrane lies in the window of the surrogate at no level, in no step of no
        sample; nothing that was seen sends a gradient through them.
    at_a_step: the same counted for each unit, step and sample by itself: the mean share of units
        that pass no gradient. This is the paper's dormant unit as we understand it.
    """

    silent: float
    never: float
    at_a_step: float


@torch.no_grad()
def dormant(network: nn.Module, inputs: Tensor, batch: int = 50) -> Dormant:
    """Counts over inputs (T, N, …), in eval mode."""
    fired: dict[str, Tensor] = {}
    passing: dict[str, Tensor] = {}
    places = [(name, m) for name, m in network.named_modules() if isinstance(m, MLF)]

    def count(name: str, neuron: MLF, current: Tensor) -> None:
        u, s = neuron.levels(current)
        threshold = u.new_tensor(neuron.thresholds).reshape(-1, *(1,) * (u.dim() - 2))
        window = neuron.surrogate.derivative(threshold - u) > 0
        for found, each in ((fired, s > 0), (passing, window)):
            found[name] = found.get(name, 0) + each.any(dim=1).sum(dim=(0, 1))

    hooks = [
        m.register_forward_pre_hook(lambda m, given, name=name: count(name, m, given[0]))
        for name, m in places
    ]
    for part in inputs.split(batch, dim=1):
        network(part.float())
    for hook in hooks:
        hook.remove()
    spikes = torch.cat([each.flatten() for each in fired.values()])
    gradients = torch.cat([each.flatten() for each in passing.values()])
    seen = inputs.shape[0] * inputs.shape[1]
    return Dormant(
        silent=(spikes == 0).double().mean().item(),
        never=(gradients == 0).double().mean().item(),
        at_a_step=1 - gradients.double().mean().item() / seen,
    )
