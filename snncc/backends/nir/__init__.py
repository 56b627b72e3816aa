"""NIR files of networks: a program's Network, or the Graph that it was compiled from."""

from snncc.backends.nir.export import Written, export
from snncc.backends.nir.neurons import READERS

__all__ = ["READERS", "Written", "export"]
