"""A target as a table."""

from __future__ import annotations

from dataclasses import dataclass

from snncc.targets.chip import Chip, Constant


@dataclass(frozen=True)
class Target:
    """A machine, the passes that bring a Network to it, and the backends that run the result.

    ``passes`` names them in order; ``emits`` is the backend whose package goes into a compiled
    program, or ""; ``backends`` are those that a program for it runs on.
    ``chip`` is what a target with a mesh of cores is made of. Its passes make themselves from it
    (`Pass.chosen`).
    """

    name: str
    title: str
    passes: tuple[str, ...] = ()
    emits: str = ""
    backends: tuple[str, ...] = ("reference",)
    constants: tuple[Constant, ...] = ()
    chip: Chip | None = None

    @property
    def is_fixed(self) -> bool:
        """Whether it computes in whole numbers."""
        return bool(self.emits or self.chip)

    @property
    def thresholds(self) -> str:
        """ "channel" where the neurons of a population may have thresholds of their own."""
        return "layer" if self.chip and self.chip.thresholds == "layer" else "channel"

    @property
    def delays(self) -> int:
        """By how many steps more than one a projection can take."""
        known = {constant.name: constant.value for constant in self.constants}
        return int(known.get("largest_delay", 0))

    def __getitem__(self, name: str) -> float:
        """The value of the constant of that name. Raises KeyError."""
        for constant in self.constants:
            if constant.name == name:
                return constant.value
        raise KeyError(name)
