"""A target as a table."""

from __future__ import annotations

from dataclasses import dataclass


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
