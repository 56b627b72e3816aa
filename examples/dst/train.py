"""Trains one residual network in several ways, with and without the auxiliary pathway.

    python -m examples.dst.train --data FOLDER --out FOLDER

FOLDER of --data holds train.npz and test.npz, event recordings in the format of recordings.npz
here. Into the folder of --out goes, for each way and seed, a WAY-seedN.pt as `snncc compile` reads
it, and results.json with the accuracies. A training that was cut goes on where it was.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from examples.events import TIME_STEPS, frames, read
from examples.training import Plan, accuracy, outputs, train
from snncc.frontends.checkpoints import save_model
from snncc.nn import DualStreamResNet, dst_loss

PLAN = Plan(epochs=40)
WIDTHS = (16, 32, 64)


@dataclass(frozen=True)
class Way:
    """A way to train: the gate of the residual blocks, and whether the AAP is there."""

    title: str
    gate: str
    auxiliary: bool = False

    def network(self, widths: Sequence[int]) -> DualStreamResNet:
        return DualStreamResNet(
            in_channels=2,
            classes=10,
            widths=widths,
            blocks=(1, 1, 1),
            gate=self.gate,  # type: ignore[arg-type]
            auxiliary=self.auxiliary,
            stem_stride=2,
        )


WAYS = {
    "plain": Way("FSNN, plain training", "or"),
    "dst": Way("FSNN, trained with DST, AAP stripped", "or", auxiliary=True),
    "sew_add": Way("SEW-ADD", "sum"),
    "sew_iand": Way("SEW-IAND", "iand"),
}
KEPT = {"aap": "DSNN, AAP kept: its own head", "average": "DSNN, AAP kept: mean of both heads"}
"""What the DST network is when the AAP is kept, by the name of the output that is read."""


def gradients(network: nn.Module, inputs: Tensor, labels: Tensor) -> float:
    loss = dst_loss(network(inputs), labels)
    loss.backward()
    return loss.item()


def readings(name: str, heads: Sequence[Tensor]) -> Mapping[str, Tensor]:
    """The logits (N, 10) of every way to read the outputs of one network."""
    if len(heads) == 1:
        return {name: heads[0]}
    spike, auxiliary = heads
    return {name: spike, "aap": auxiliary, "average": (spike + auxiliary) / 2}


def title(name: str) -> str:
    return KEPT[name] if name in KEPT else WAYS[name].title


def samples(folder: Path, name: str, time_steps: int = TIME_STEPS) -> tuple[Tensor, Tensor]:
    """Frames (T, N, 2, 34, 34) uint8 and labels (N,) of one file of recordings."""
    recordings = read(folder, name)
    labels = torch.from_numpy(recordings.labels.astype(np.int64))
    return torch.from_numpy(frames(recordings, time_steps)), labels


def summary(values: list[float]) -> dict[str, Any]:
    """Mean and sample standard deviation (None for a single seed) of one way's accuracies."""
    std = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {"mean": float(np.mean(values)), "std": std, "per_seed": values}


def main() -> None:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of train.npz, test.npz")
    parser.add_argument("--out", type=Path, required=True, help="folder for weights and results")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--widths", type=int, nargs="+", default=WIDTHS)
    parser.add_argument("--epochs", type=int, default=PLAN.epochs)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    inputs, labels = samples(options.data, "train.npz")
    test_inputs, test_labels = samples(options.data, "test.npz")
    plan = replace(PLAN, epochs=options.epochs)

    found: dict[str, list[float]] = {}
    for seed in options.seeds:
        for name in options.ways:
            print(f"seed {seed}, {WAYS[name].title}", flush=True)
            torch.manual_seed(seed)
            state = options.out / f"{name}-seed{seed}.state"
            network = train(
                WAYS[name].network(options.widths),
                inputs,
                labels,
                plan,
                seed,
                gradients,
                state=state,
            )
            heads = outputs(network, test_inputs)
            for way, logits in readings(name, heads).items():
                found.setdefault(way, []).append(accuracy(logits, test_labels))
                print(f"  {title(way)}: {found[way][-1]:.1f} %", flush=True)
            like = test_inputs[:, :2].float()
            save_model(network, state.with_suffix(".pt"), like, layout="TN", input="spike")
    record = {
        "widths": list(options.widths),
        "epochs": options.epochs,
        "seeds": options.seeds,
        "test %": {title(way): summary(values) for way, values in found.items()},
    }
    (options.out / "results.json").write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
