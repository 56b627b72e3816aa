"""The trained networks of ``examples/``, and what whole numbers do to them."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

import snncc
from snncc.frontends.checkpoints import open_model
from snncc.ir.interpreter import Run, Value, run_network
from snncc.program import Program

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = ("dst", "mnist", "snn2ann", "saf", "mlf")
CHECKPOINTS = {
    "dst": "nmnist.pt",
    "mlf": "ds.pt",
    "danet": "danet.pt",
    "snn2ann": "snn2ann.pt",
    "saf": "saf-e.pt",
}
"""The example's network where it is a whole module in one file."""
ON_DIGITS = ("snn2ann", "saf")
"""They share the images of examples/digits.py."""
PER_NEURON = ("snn2ann",)
"""Thresholds that differ from neuron to neuron: no chip with one per layer takes them."""


@dataclass(frozen=True)
class Example:
    """A network with its test and calibration data, in its own layout."""

    module: torch.nn.Module
    like: Value
    options: Mapping[str, Any]
    inputs: np.ndarray
    labels: np.ndarray
    calibration: np.ndarray

    @cached_property
    def exact(self) -> Run:
        """The float network on the test samples."""
        known = self.compile(verify=False)
        return run_network(known.network, known.arrange(self.inputs))

    @property
    def axis(self) -> int:
        """Where the samples are."""
        return str(self.options["layout"]).index("N")

    def first(self, samples: int) -> Example:
        """The same with so many test samples."""
        chosen = self.inputs.take(range(samples), self.axis)
        return replace(self, inputs=chosen, labels=self.labels[:samples])

    def compile(self, target: str = "loihi", **options: Any) -> Program:
        return snncc.compile(self.module, self.like, target, **self.options, **options)


def example(name: str, checkpoint: str | None = None) -> Example:
    """An example's own network, or another that lies in its folder."""
    folder = EXAMPLES / name
    if found := checkpoint or CHECKPOINTS.get(name):
        opened = open_model(folder / found)
        module, like = opened.module, torch.zeros(opened.shape)
        options = {"input": opened.input, "layout": opened.layout}
    else:
        module, like, options = _digits(folder), torch.zeros(1, 1, 28, 28), {"layout": "N"}
    data = f"{EXAMPLES / 'digits'}-" if name in ON_DIGITS else f"{folder}/"
    with np.load(f"{data}test.npz") as test, np.load(f"{data}calibration.npz") as calibration:
        return Example(module, like, options, test["inputs"], test["labels"], calibration["inputs"])


def _digits(folder: Path) -> torch.nn.Module:
    spec = importlib.util.spec_from_file_location("mnist_network", folder / "network.py")
    assert spec is not None
    assert spec.loader is not None
    source = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(source)
    network: torch.nn.Module = source.DigitNet()
    network.load_state_dict(torch.load(folder / "mnist.pt", weights_only=True))
    return network.eval()


@dataclass(frozen=True)
class Measured:
    """Fixed point against float on the test samples; flips are those of neurons."""

    samples: int
    right_float: int
    right_fixed: int
    neuron_steps: int
    forced: int
    propagated: int
    wraps: int
    saturations: int

    @property
    def points(self) -> float:
        """How much accuracy is lost, in per cent points."""
        return 100 * (self.right_float - self.right_fixed) / self.samples

    @property
    def kept(self) -> float:
        """The part of neuron-steps that is the same, teacher-forced."""
        return 1 - self.forced / self.neuron_steps


def measure(of: Example, program: Program) -> Measured:
    """``program``, in whole numbers, against the float program of the same network."""
    inputs, exact = program.arrange(of.inputs), of.exact
    forced = run_network(program.network, inputs, forced=exact.spikes)
    free = run_network(program.network, inputs)
    names = [p.name for p in program.network.populations if p.role == "neuron"]

    def right(run: Run) -> int:
        (logits,) = run.logits.values()
        return int((logits.argmax(1).numpy() == of.labels).sum())

    return Measured(
        len(of.labels),
        right(exact),
        right(free),
        sum(exact.spikes[name].numel() for name in names),
        sum(forced.flips[name] for name in names),
        sum(int((free.spikes[name] != exact.spikes[name]).sum()) for name in names),
        sum(free.wraps.values()),
        sum(free.saturations.values()),
    )
