"""The reference as a backend: it runs in every simulation, and the others are compared with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from snncc.backends.base import Backend


@dataclass(frozen=True)
class Reference(Backend):
    """Every Network, with neither a package nor a chip."""

    name: ClassVar[str] = "reference"
