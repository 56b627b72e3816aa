"""What each torch function means: one handler a family, one table for all.

A handler reads a ``Call``, emits nodes and binds the tensors the call returned.
"""

from snncc.frontends.torch.calls import elementwise, layers, moves, reductions, writes
from snncc.frontends.torch.calls.table import HANDLERS

__all__ = ["HANDLERS", "elementwise", "layers", "moves", "reductions", "writes"]
