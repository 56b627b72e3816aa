"""A command line that is proposed, and where each part of it comes from."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

ASSUMED = "assumed"


@dataclass(frozen=True)
class Fact:
    """``origin`` is ``file:line``, or begins with `ASSUMED`."""

    what: str
    value: str
    origin: str


@dataclass(frozen=True)
class Proposal:
    """What to type, why, and what is left to the user.

    ``model`` and ``options`` are those of `snncc compile`. ``file`` is a Python file to write
    first, name and text; ``folder`` is where the commands are to be typed, if not here; ``name`` is
    that of the network. Words in capital letters stand for what only the user knows.
    """

    model: str
    options: tuple[str, ...] = ()
    facts: tuple[Fact, ...] = ()
    to_do: tuple[str, ...] = ()
    file: tuple[str, str] = ("", "")
    folder: str = ""
    name: str = ""

    @property
    def commands(self) -> tuple[str, ...]:
        name = self.name or self.model.rpartition(":")[2].rpartition("/")[2].partition(".")[0]
        folder = f"build/{name.lower()}"
        given = (self.model, *self.options, "--target", "loihi", "-o", folder)
        return (
            shlex.join(["snncc", "compile", *given]),
            shlex.join(["snncc", "simulate", folder, "--input", "test.npz"]),
        )
