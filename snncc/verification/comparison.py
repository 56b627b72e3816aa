"""``compare``: a program against its module, on inputs of the user's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from snncc.frontends.torch import observe
from snncc.ir.interpreter import Disagreement, Value, run_network
from snncc.verification.passes import SHOWN, TOLERANCE, difference, over_time

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from torch import nn

    from snncc.program import Program


@dataclass(frozen=True)
class Comparison:
    """A program against its module: ``compared`` spikes, one for each neuron, step and sample.

    ``ties`` of them part where the order of float additions decides, ``mismatches`` elsewhere;
    ``disagreements`` holds the first of both. ``logits`` is the largest difference of the outputs,
    relative to their largest value.
    """

    compared: int
    ties: int
    mismatches: int
    logits: float
    disagreements: tuple[Disagreement, ...]

    @property
    def equal(self) -> bool:
        """No spike differs but for ties, and no output by more than `TOLERANCE`."""
        return not self.mismatches and self.logits <= TOLERANCE


def compare(module: nn.Module, program: Program, inputs: ArrayLike | Value) -> Comparison:
    """Run ``module`` in float64 and the program's network teacher-forced by its spikes.

    ``inputs`` in the layout of the example. Raises SnnccError (SNN306, SNN312) for inputs that do
    not fit, SNN314 for a module that does not run in float64.
    """
    arranged = program.arrange(inputs)
    tensor = inputs if isinstance(inputs, torch.Tensor) else torch.as_tensor(np.asarray(inputs))
    seen = observe(module, tensor, program.graph)
    run = run_network(program.network, arranged, forced=seen.spikes, limit=SHOWN)
    off = [
        difference(over_time(seen.heads[name], logits), logits)
        for name, logits in run.logits.items()
        if name in seen.heads and program.graph.heads[name] not in program.auxiliary
    ]
    return Comparison(
        run.compared, run.ties, run.mismatches, max(off, default=0.0), run.disagreements
    )
