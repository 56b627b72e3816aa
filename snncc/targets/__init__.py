"""What a compiled network runs on: limits of the hardware, each with its source."""

from snncc.targets.loihi import LOIHI
from snncc.targets.reference import REFERENCE
from snncc.targets.target import Constant, Target, target, targets

__all__ = ["LOIHI", "REFERENCE", "Constant", "Target", "target", "targets"]
