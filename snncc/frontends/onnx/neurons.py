"""Neurons of our own functions in a file, and what they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from snncc.frontends.neurons import NeuronModule
from snncc.ir.neuron_functions import kinds
from snncc.ir.ops import Ref, Spiking


class FileNeuron(nn.Module):
    """One call of a function of ``org.snncc``: takes currents (T, N, …), yields spikes.

    It computes what the file's function says (``run``); its reading is of the function's name, and
    both are held against each other whenever it is recorded.
    """

    def __init__(
        self, kind: str, numbers: Sequence[np.ndarray], run: Callable[..., torch.Tensor]
    ) -> None:
        super().__init__()
        self.kind = kind
        self.__dict__["run"] = run
        for name, array in zip(kinds()[kind].parameters, numbers, strict=True):
            self.register_buffer(name, torch.from_numpy(np.array(array)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.__dict__["run"]([x, *self._buffers.values()], x.dtype)  # type: ignore[no-any-return]


def reading_of(kind: str, numbers: Sequence[np.ndarray]) -> NeuronModule | None:
    """What a function with these numbers is; None where it yields no spikes."""
    known = kinds().get(kind)
    if known is None or known.shows != "spikes" or len(numbers) != len(known.parameters):
        return None
    tensors: dict[str, np.ndarray] = {}
    values: dict[str, Any] = {}
    for name, array in zip(known.parameters, numbers, strict=True):
        if array.size == 1:
            values[name] = float(array.reshape(-1)[0])
        elif name == "v_reset":
            return None
        else:
            values[name], tensors[name] = Ref(name), np.asarray(array, np.float64)
    if known.charge == "gate":
        values["decay"] = 0.0
    spiking = Spiking(
        decay_input=known.charge == "leak-input", reset=known.reset, when=known.when,
        strict=known.strict, **values,
    )  # fmt: skip
    return NeuronModule(spiking, multi_step=True, keeps_state=False, tensors=tensors)


def read(module: FileNeuron) -> NeuronModule:
    """The reading of a `FileNeuron`."""
    numbers = [each.detach().numpy() for each in module._buffers.values() if each is not None]
    found = reading_of(module.kind, numbers)
    assert found is not None
    return found
