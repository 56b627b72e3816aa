"""Where floating point computes a Network without any rounding.

A number is dyadic where it is a whole multiple of a power of two, its unit. Sums of multiples of a
unit are exact, in any order, as long as none is beyond 2ᵖ units, where p is how many bits the dtype
holds (24 in float32). All here is bounds: of what a sum can be, and of the unit it is counted in.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from snncc.ir.graph import Tensors
from snncc.ir.interpreter.operations import TensorStore, apply
from snncc.ir.ops import Op
from snncc.ir.shapes import Shape


def heaviest(map: Sequence[Op], shape: Shape, tensors: Tensors) -> float:
    """The largest sum of absolute weights into one target, of a map from features of ``shape``.

    So far from 0 can spikes bring a target, and all sums on the way.
    """
    store = TensorStore({name: np.abs(tensors[name]) for op in map for name in op.refs()},
                        torch.float64)  # fmt: skip
    y = torch.ones(1, *shape, dtype=torch.float64)
    for op in map:
        y = apply(op, [y], store)
    return float(y.abs().max()) if y.numel() else 0.0
