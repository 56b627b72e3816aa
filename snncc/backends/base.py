"""What a backend is: a frozen value with a name, options, and what it does with a Network.

A backend follows one or more of the protocols `Emits`, `Runs` and `Replays`; whoever wants
something of a backend asks which. It is registered under its name in the entry-point group
``snncc.backends``, and a target names the backends that its programs run on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from snncc import registry
from snncc.diagnostics import refuse
from snncc.ir.network import Network
from snncc.ir.stages import Mapped

if TYPE_CHECKING:
    import numpy as np

    from snncc.ir.interpreter import Run, Value
    from snncc.report import Section
    from snncc.targets.chip import Chip


@dataclass(frozen=True)
class Backend:
    """Base of all backends; the fields of a subclass are its options.

    ``takes`` is the stage of the Network that it is given: a `Network`, as it was trained and, in
    whole numbers, rounded; a `Scheduled`, with relays and a level for each place; or a `Mapped`,
    with a core for each neuron too. ``target`` is what a model is compiled for that is simulated on
    it.
    """

    name: ClassVar[str]
    takes: ClassVar[type[Network]] = Network
    target: ClassVar[str] = "reference"

    def missing(self) -> str:
        """What it needs and is not installed here, in words; empty where everything is there."""
        return ""

    def __str__(self) -> str:
        """The spec that ``parse`` reads back: ``name{option=value,…}``, defaults left out."""
        return registry.spec(self.name, self)


@runtime_checkable
class Emits(Protocol):
    """Writes a Network for another tool to run."""

    takes: ClassVar[type[Network]]
    package: ClassVar[str]
    """The folder, in that of a compiled program, that holds what it writes."""

    def emit(self, network: Network, folder: Path) -> Mapping[str, Mapping[str, int]] | None:
        """Write what runs ``network`` into ``folder``, which is made if it is missing.

        Returns how many processes of the tool there are of each kind, for the manifest, or None
        where there is nothing to count. An option ``stock_only`` is set where the program was
        compiled with it. Raises SnnccError for a network that it cannot write.
        """


@runtime_checkable
class Runs(Emits, Protocol):
    """Runs what it wrote; its spikes are compared with those of the reference."""

    def run(
        self,
        folder: Path,
        network: Network,
        inputs: Mapping[str, Value],
        *,
        timeout: float | None = None,
        on_step: Callable[[int, int], object] | None = None,
    ) -> Run:
        """Run what `emit` wrote into ``folder`` for ``network``; called once for each chunk.

        ``inputs`` as `snncc.ir.interpreter.run_network` takes them. The result holds the spikes
        (T, N, *shape) of all sources and populations but relays, and outputs and logits of every
        readout. ``on_step`` is told, now and then, how many of how many steps are done.

        Raises SNN317 where something it needs is missing and after ``timeout`` seconds, by default
        as many as it finds enough; SNN314 where the run fails. It leaves no process behind.
        """


class Timing(Protocol):
    """What a run took on a chip, all steps together."""

    @property
    def time_ns(self) -> float: ...

    @property
    def energy_j(self) -> float: ...

    def save(self, path: str | Path) -> None:
        """Write everything that is known of it, as .json or .npz."""


class Replay(Protocol):
    """A chip on which the spikes of one chunk after the other are replayed."""

    def add(self, spikes: Mapping[str, np.ndarray]) -> None:
        """Spikes (T, N, *shape) by the name of the place, of every source and population."""

    def finish(self) -> Timing:
        """What all chunks so far took; there may be more to add."""


@runtime_checkable
class Replays(Protocol):
    """Replays the spikes of the reference on a chip and says what they take; computes no neuron."""

    target: ClassVar[str]
    """Whose chip it is, where neither program nor user names one."""

    def replay(self, network: Mapped, chip: Chip) -> Replay:
        """A replay on ``chip``, where ``network.mapping`` has its neurons.

        Raises SnnccError (SNN316) for a mapping that does not belong to network and chip.
        """

    def lines(self, timing: Any) -> list[str]:
        """What `snncc simulate` prints of a timing of its own."""

    def sections(self, timing: Any) -> Sequence[Section]:
        """The same as sections of the report."""


def names() -> tuple[str, ...]:
    """All backends known here, built in or from other packages."""
    return registry.names(registry.BACKENDS)


def find(name: str) -> type[Backend]:
    """The backend of that name. Raises SnnccError as `snncc.registry.find` does."""
    found: type[Backend] = registry.find(registry.BACKENDS, name)
    return found


def emitting(backend: Backend) -> Emits:
    """The same backend. Raises SnnccError (SNN316) where it writes no package."""
    if not isinstance(backend, Emits):
        raise refuse("SNN316", f"the backend {backend.name!r} writes no package")
    return backend


def parse(spec: str) -> Backend:
    """The backend a spec such as ``cycle{level=count}`` names. Raises SnnccError as `find` does,
    and SNN316 for an option that is not there."""
    found: Backend = registry.parse(registry.BACKENDS, spec)
    return found
