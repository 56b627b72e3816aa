"""The functional simulator, which everything else is compared with."""

from snncc.backends.reference.backend import Reference
from snncc.backends.reference.fused import Simulator
from snncc.backends.reference.running import MEMORY, chunk_size, joined, simulate

__all__ = ["MEMORY", "Reference", "Simulator", "chunk_size", "joined", "simulate"]
