"""A target as a table, and how one is found by name."""

from __future__ import annotations

from dataclasses import dataclass

from snncc.diagnostics import refuse


@dataclass(frozen=True)
class Constant:
    """A number of the hardware and where it is published."""

    name: str
    value: float
    unit: str
    source: str


@dataclass(frozen=True)
class Target:
    """A machine, the passes that bring a Network to it, and the backends that run the result.

    ``passes`` names them in order; ``emits`` is the backend whose package goes into a compiled
    program, or "".
    """

    name: str
    title: str
    passes: tuple[str, ...] = ()
    emits: str = ""
    backends: tuple[str, ...] = ("reference",)
    constants: tuple[Constant, ...] = ()

    def __getitem__(self, name: str) -> float:
        """The value of the constant of that name. Raises KeyError."""
        for constant in self.constants:
            if constant.name == name:
                return constant.value
        raise KeyError(name)


def targets() -> tuple[Target, ...]:
    """All targets, the default one first."""
    from snncc.targets.loihi import LOIHI
    from snncc.targets.reference import REFERENCE

    return (LOIHI, REFERENCE)


def target(name: str) -> Target:
    """The target of that name. Raises SnnccError (SNN313)."""
    for each in targets():
        if each.name == name:
            return each
    known = ", ".join(each.name for each in targets())
    raise refuse("SNN313", f"there is no target {name!r}; there are {known}")
