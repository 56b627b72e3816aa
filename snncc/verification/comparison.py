"""``compare``: a program against its module, on inputs of the user's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from snncc.backends.reference.fused import sample_axes
from snncc.frontends.torch.observing import Witness
from snncc.ir.interpreter import Disagreement, Value, run_network
from snncc.verification.passes import SHOWN, TOLERANCE, difference, over_time
from snncc.verification.probes import room

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

    def beside(self, more: Comparison, behind: int) -> Comparison:
        """This and ``more``, whose samples come ``behind`` so many."""
        later = [
            replace(each, index=(each.index[0], each.index[1] + behind, *each.index[2:]))
            for each in more.disagreements
        ]
        return Comparison(
            self.compared + more.compared,
            self.ties + more.ties,
            self.mismatches + more.mismatches,
            max(self.logits, more.logits),
            (*self.disagreements, *later)[:SHOWN],
        )


def compare(module: nn.Module, program: Program, inputs: ArrayLike | Value) -> Comparison:
    """Run ``module`` in float64 and the program's network teacher-forced by its spikes.

    ``inputs`` in the layout of the example; as many samples at a time as memory holds. Raises
    SnnccError (SNN306, SNN312) for inputs that do not fit, SNN314 for a module that does not run in
    float64.
    """
    whole = inputs if isinstance(inputs, torch.Tensor) else torch.as_tensor(np.asarray(inputs))
    arranged = program.arrange(whole)
    name, axis = next(iter(sample_axes(program.network).items()))
    samples = arranged[name].shape[axis]
    witness = Witness(module, program.graph)
    total = Comparison(0, 0, 0, 0.0, ())
    for start in range(0, samples, most := room(program.graph)):
        count = min(most, samples - start)
        part = whole.narrow(_axis(program, whole), start, count)
        total = total.beside(_compared(witness, program, part), behind=start)
    return total


def _axis(program: Program, inputs: Value) -> int:
    """The axis of the samples in the module's layout."""
    axes = program.graph.inputs[0].signal.axes
    return axes.index("N") + inputs.dim() - len(axes)


def _compared(witness: Witness, program: Program, inputs: Value) -> Comparison:
    seen = witness(inputs)
    run = run_network(program.network, program.arrange(inputs), forced=seen.spikes, limit=SHOWN)
    off = [
        difference(over_time(seen.heads[name], logits), logits)
        for name, logits in run.logits.items()
        if name in seen.heads and program.graph.heads[name] not in program.auxiliary
    ]
    return Comparison(
        run.compared, run.ties, run.mismatches, max(off, default=0.0), run.disagreements
    )
