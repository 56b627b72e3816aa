"""No hardware: the network as it was lowered, run by the functional simulator."""

from snncc.targets.target import Target

REFERENCE = Target("reference", "functional simulator on this machine, floating point")
