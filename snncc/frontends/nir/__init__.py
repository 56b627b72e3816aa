"""Files of the Neuromorphic Intermediate Representation (NIR), read as torch modules.

`file` opens the HDF5, `timing` turns differential equations into steps, `network` is the module. A
file that becomes a module is recorded, verified and compiled as every other module is.
"""

from snncc.frontends.nir.network import FileNetwork
from snncc.frontends.nir.opening import open_nir
from snncc.frontends.nir.timing import Timing

__all__ = ["FileNetwork", "Timing", "open_nir"]
