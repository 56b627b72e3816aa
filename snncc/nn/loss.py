"""The loss of dual-stream training (arXiv 2301.11929)."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import cross_entropy


def dst_loss(outputs: Tensor | tuple[Tensor, ...], labels: Tensor) -> Tensor:
    """CE(y_spike) + CE(y_aap), unweighted; plain cross-entropy for a single head.

    outputs: logits (N, classes), or a tuple of such; labels (N,) int64. Returns a scalar.
    """
    heads = (outputs,) if isinstance(outputs, Tensor) else outputs
    losses = [cross_entropy(head, labels) for head in heads]
    return sum(losses[1:], start=losses[0])
