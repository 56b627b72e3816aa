"""Which core holds which neuron."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping as Table
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import numpy as np

from snncc.diagnostics import refuse
from snncc.ir.shapes import Shape


@dataclass(frozen=True, eq=False)
class Mapping:
    """A scheduled Network on ``chips`` chips.

    ``core_of`` gives for every source, population and readout, by name, the physical core of each
    neuron: int32 of the place's shape. Core numbers count through the board:
    core = (chip · tiles of a chip + tile) · cores of a tile + index in the tile.

    The spikes of a source enter at the cores it is given, each through an input neuron there; the
    sums of a readout are those of neurons that do not spike, read from outside. Encoders are on
    the host, and their currents are written into the neurons that take them.

    ``activity`` is what the mapping was made for: the spikes each neuron sends in a step on the
    average, float32 by place; empty where every neuron counted as one that always fires.
    """

    chips: int
    core_of: Table[str, np.ndarray]
    activity: Table[str, np.ndarray] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        for name, kind in (("core_of", np.int32), ("activity", np.float32)):
            arrays = {key: np.array(value, kind) for key, value in getattr(self, name).items()}
            for array in arrays.values():
                array.flags.writeable = False
            object.__setattr__(self, name, MappingProxyType(arrays))

    @property
    def cores(self) -> np.ndarray:
        """The cores in use, ascending."""
        used = [np.unique(core) for core in self.core_of.values()]
        return np.unique(np.concatenate(used)) if used else np.empty(0, np.int32)

    def verify(self, shapes: Table[str, Shape], cores: int) -> None:
        """Check it against `Network.on_chip` and the ``cores`` of a chip. Raises ValueError."""
        for name in self.core_of.keys() ^ shapes.keys():
            lack = "is on no core" if name in shapes else "is mapped and not there"
            raise ValueError(f"place {name} {lack}")
        for name, core in self.core_of.items():
            if core.shape != shapes[name]:
                raise ValueError(f"place {name} has shape {shapes[name]}, not {core.shape}")
            if core.size and not 0 <= core.min() <= core.max() < self.chips * cores:
                raise ValueError(f"place {name} is on a core that {self.chips} chips do not have")

    def save(self, path: Path) -> None:
        """Write an .npz: the arrays by name, and how many chips."""
        arrays = {f"core.{name}": core for name, core in self.core_of.items()}
        arrays |= {f"activity.{name}": rate for name, rate in self.activity.items()}
        with path.open("wb") as file:
            np.savez_compressed(file, chips=np.int64(self.chips), **arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path) -> Mapping:
        """Read what ``save`` wrote. Raises SnnccError (SNN305) where it is no such file."""
        try:
            with np.load(path, allow_pickle=False) as file:
                chips = int(file["chips"])
                parts: dict[str, dict[str, np.ndarray]] = {"core": {}, "activity": {}}
                for key, array in file.items():
                    kind, dot, name = key.partition(".")
                    if dot:
                        parts[kind][name] = array
            return cls(chips, parts["core"], parts["activity"])
        except (OSError, KeyError, TypeError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise refuse("SNN305", f"{path} holds no readable mapping ({error})") from None
