"""Lava, Intel's framework for Loihi: a Network becomes a package of Lava processes.

snncc imports no Lava: it writes the package (``emit``) and runs it in Lava's own interpreter
(``snncc.backends.loihi.simulation.simulate``). `Lava` is both, as a backend.
"""

from snncc.backends.loihi.backend import Lava
from snncc.backends.loihi.emit import emit

__all__ = ["Lava", "emit"]
