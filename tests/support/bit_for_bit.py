"""Fixed networks in Lava, bit for bit: every spike, every u and v, and every sum read out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from snncc.backends.loihi import emit, interpreter
from snncc.backends.loihi.simulation import as_given
from snncc.ir import Network
from snncc.ir.interpreter import Run, Value, steps_of
from snncc.ir.interpreter.fixed import run_fixed
from snncc.ir.interpreter.fixed_cell import State

SCRIPT = Path(__file__).parent / "on_lava" / "states.py"


@dataclass(frozen=True)
class Tally:
    """What was the same: populations step by step, spikes sent, and what overflowed."""

    networks: int = 0
    populations: int = 0
    neuron_steps: int = 0
    spikes: int = 0
    silent: int = 0
    wraps: int = 0
    saturations: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            *(a + b for a, b in zip(vars(self).values(), vars(other).values(), strict=True))
        )


Case = tuple[Network, Mapping[str, Value]]
"""A fixed, scheduled Network and inputs for it."""


def agree(cases: Mapping[str, Case], folder: Path, timeout: float = 600) -> Tally:
    """Run each case, named by an identifier, in Lava and in our interpreter."""
    for name, (network, inputs) in cases.items():
        emit(network, folder / name)
        with (folder / f"{name}.input.npz").open("wb") as file:
            np.savez(file, **as_given(network, inputs))
    done = interpreter.run([str(SCRIPT), *cases], timeout=timeout, cwd=folder)
    assert done.returncode == 0, done.stderr
    tallies = [_same(*case, folder / name) for name, case in cases.items()]
    return sum(tallies, Tally())


def _same(network: Network, inputs: Mapping[str, Value], stem: Path) -> Tally:
    """What Lava wrote down for one network against our own run of it."""
    states: dict[str, State] = {}
    run = run_fixed(network, inputs, on_state=states.__setitem__)
    with np.load(f"{stem}.output.npz") as file:
        found = {name: torch.from_numpy(file[name]) for name in file.files}
    where = stem.name
    for place in network.populations:
        if place.role != "relay":
            spikes = run.spikes[place.name].bool()
            assert torch.equal(found[f"spikes:{place.name}"], spikes), (where, place.name)
    for name, sums in run.outputs.items():
        assert torch.equal(found[f"outputs:{name}"], sums), (where, name)
    steps = steps_of(network, inputs)
    period = steps + network.idle_steps
    assert network.levels is not None
    for number, place in enumerate(network.populations):
        for key, ours in zip("uv", states[place.name], strict=True):
            whole = np.load(f"{stem}.{number}.{key}.npy", mmap_mode="r")
            samples = np.arange(ours.shape[1])
            at = network.levels[place.name] + np.arange(steps)[:, None] + period * samples
            lavas = np.moveaxis(whole[at], -1, 2) if place.shape else whole[at]
            np.testing.assert_array_equal(ours.numpy(), lavas, f"{where}: {key} of {place.name}")
    return _tally(network, run)


def _tally(network: Network, run: Run) -> Tally:
    spikes = [run.spikes[place.name] for place in network.populations]
    return Tally(
        networks=1,
        populations=len(spikes),
        neuron_steps=sum(s.numel() for s in spikes),
        spikes=sum(int(s.sum()) for s in spikes),
        silent=sum(not s.any() for s in spikes),
        wraps=sum(run.wraps.values()),
        saturations=sum(run.saturations.values()),
    )
