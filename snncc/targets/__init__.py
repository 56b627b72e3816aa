"""What a compiled network runs on: limits of the hardware, each with its source."""

from snncc.diagnostics import refuse
from snncc.registry import TARGETS, find, names
from snncc.targets.chip import BUILT_IN, Chip, Constant, built_in, find_chip, load_chip
from snncc.targets.loihi import LOIHI
from snncc.targets.reference import REFERENCE
from snncc.targets.target import Target

__all__ = ["LOIHI", "REFERENCE", "Constant", "Target", "find_chip", "of_chip", "target", "targets"]

LOIHI_CHIPS = ("loihi1", "loihi2")
"""Chips whose programs Lava runs too."""


def targets() -> tuple[Target, ...]:
    """All targets, the default one first, those of other packages last.

    Raises SnnccError (SNN316, SNN317) for a package that `snncc.registry.find` refuses.
    """
    return (*_own(), *(find(TARGETS, name) for name in names(TARGETS)))


def target(name: str) -> Target:
    """The target of that name, or of the chip in a .toml file.

    Raises SnnccError: SNN313, SNN320, and as `targets` does for the package of this one.
    """
    if name.endswith(".toml"):
        return of_chip(load_chip(name), name)
    own = {each.name: each for each in _own()}
    if name in own:
        return own[name]
    if name in names(TARGETS):
        found: Target = find(TARGETS, name)
        return found
    known = ", ".join((*own, *names(TARGETS)))
    raise refuse("SNN313", f"there is no target {name!r}; there are {known}")


def _own() -> tuple[Target, ...]:
    return (LOIHI, REFERENCE, *(of_chip(built_in(name)) for name in BUILT_IN))


def of_chip(chip: Chip, name: str = "") -> Target:
    """The target that maps a network to the cores of ``chip``; of Loihi it emits for Lava too."""
    is_loihi = chip.name in LOIHI_CHIPS
    return Target(
        name or chip.name,
        chip.title,
        passes=("realise-projections", "balance-delays", "partition", "place", "route"),
        emits="lava" if is_loihi else "",
        backends=("reference", "lava", "cycle") if is_loihi else ("reference", "cycle"),
        constants=chip.constants,
        chip=chip,
    )
