"""What a compiled network runs on: limits of the hardware, each with its source."""

from snncc.diagnostics import refuse
from snncc.targets.loihi import LOIHI
from snncc.targets.reference import REFERENCE
from snncc.targets.target import Constant, Target

__all__ = ["LOIHI", "REFERENCE", "Constant", "Target", "target", "targets"]


def targets() -> tuple[Target, ...]:
    """All targets, the default one first."""
    return (LOIHI, REFERENCE)


def target(name: str) -> Target:
    """The target of that name. Raises SnnccError (SNN313)."""
    for each in targets():
        if each.name == name:
            return each
    known = ", ".join(each.name for each in targets())
    raise refuse("SNN313", f"there is no target {name!r}; there are {known}")
