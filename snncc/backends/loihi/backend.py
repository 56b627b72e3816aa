"""Lava as a backend."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from snncc.backends.base import Backend
from snncc.backends.loihi import interpreter, simulation
from snncc.backends.loihi.emit import emit
from snncc.backends.reference.fused import sample_axes
from snncc.ir.interpreter import Run, Value
from snncc.ir.network import Network
from snncc.ir.stages import Scheduled


@dataclass(frozen=True)
class Lava(Backend):
    """A package of Lava processes, in Lava's own interpreter.

    With ``stock_only`` nothing is used that Lava does not have.
    """

    name: ClassVar[str] = "lava"
    takes: ClassVar[type[Network]] = Scheduled
    target: ClassVar[str] = "loihi"
    package: ClassVar[str] = "loihi"
    stock_only: bool = False

    def missing(self) -> str:
        """Lava's interpreter."""
        home = interpreter.interpreter_home()
        there = (home / "bin" / "python").exists()
        return "" if there else f"there is no Lava interpreter in {home}"

    def emit(self, network: Network, folder: Path) -> dict[str, dict[str, int]]:
        return emit(network, folder, stock_only=self.stock_only)

    def run(
        self,
        folder: Path,
        network: Network,
        inputs: Mapping[str, Value],
        *,
        timeout: float | None = None,
        on_step: Callable[[int, int], object] | None = None,
    ) -> Run:
        limit = _patience(network, inputs) if timeout is None else timeout
        return simulation.simulate(folder, network, inputs, timeout=limit, on_step=on_step)


def _patience(network: Network, inputs: Mapping[str, Value]) -> float:
    """Seconds to allow: two minutes to start, 10 ms per process and step."""
    name, axis = next(iter(sample_axes(network).items()))
    steps = inputs[name].shape[axis] * (network.time_steps or 1)
    return 120 + 0.01 * len(network.places) * steps
