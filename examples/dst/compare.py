"""Compares the ways of `examples.dst.train` by cross-validation over all recordings.

    python -m examples.dst.compare --data FOLDER --out FOLDER [--jobs 2]

Each seed divides the 1,100 recordings of train.npz and test.npz anew into folds of equal size,
with equally many of each digit. A network is trained on all folds but one and says the digits of
that one, so that with each seed every recording is judged once by every way, by networks that did
not see it. Data, folds, epochs and seeds are the same for all ways.

Into the folder of --out goes answers.npz, what all these networks said: `labels` (1100,) and for
each way (seeds, 1100) digits. WAY.pt are networks trained with the first seed on train.npz alone,
test.npz and calibration.npz the frames to run and to calibrate them. A comparison that was cut goes
on behind the last training that was done.

Without --data it reads answers.npz alone and prints the table: accuracies, and differences to plain
training, to SEW-ADD and to DST, of each recording the mean over the seeds, with an interval of 95 %
by the bootstrap over recordings. comparison.json holds the same.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import bootstrap
from torch import Tensor

from examples.dst.train import WAYS, gradients, readings, samples, summary, title
from examples.training import Plan, outputs, train
from snncc.frontends.checkpoints import save_model

Digits = NDArray[np.int64]

FOLDS, SEEDS, TIME_STEPS, WIDTHS = 3, (0, 1, 2), 5, (12, 24, 48)
PLAN = Plan(epochs=12, batch=10, learning_rate=2e-2, shift=1)
TRAINING, CALIBRATION = 1000, 32
"""Recordings of train.npz, and of these the ones to calibrate with."""
BASES = ("plain", "sew_add", "dst")
"""The ways that the others are compared with."""


def folds(labels: Digits, seed: int) -> Digits:
    """(N,) the fold of each recording, with equally many of each digit in all folds."""
    source, fold = np.random.default_rng(seed), np.zeros(len(labels), np.int64)
    for digit in np.unique(labels):
        members = source.permutation(np.flatnonzero(labels == digit))
        fold[members] = np.arange(len(members)) % FOLDS
    return fold


def recordings(folder: Path) -> tuple[Tensor, Tensor]:
    """Those of train.npz and test.npz, one after the other: frames and labels."""
    parts = [samples(folder, name, TIME_STEPS) for name in ("train.npz", "test.npz")]
    return torch.cat([frames for frames, _ in parts], 1), torch.cat([labels for _, labels in parts])


@dataclass(frozen=True)
class Training:
    """One way, trained with one seed on all folds but ``fold``, or on train.npz where it is None.

    ``data`` and ``out`` are the folders of the command line.
    """

    way: str
    seed: int
    fold: int | None
    data: Path
    out: Path
    epochs: int

    @property
    def path(self) -> Path:
        if self.fold is None:
            return self.out / f"{self.way}.pt"
        return self.out / f"{self.way}-seed{self.seed}-fold{self.fold}.npz"

    def __call__(self) -> None:
        torch.set_num_threads(1)
        inputs, labels = recordings(self.data)
        held = torch.arange(len(labels)) >= TRAINING
        if self.fold is not None:
            held = torch.from_numpy(folds(labels.numpy(), self.seed) == self.fold)
        torch.manual_seed(self.seed)
        network = train(
            WAYS[self.way].network(WIDTHS),
            inputs[:, ~held],
            labels[~held],
            replace(PLAN, epochs=self.epochs),
            self.seed,
            gradients,
            quiet=True,
        )
        if self.fold is None:
            like = inputs[:, :2].float()
            save_model(network, self.path, like, layout="TN", input="spike")
            return
        said = readings(self.way, outputs(network, inputs[:, held]))
        new = self.path.with_name(f"new-{self.path.name}")
        np.savez_compressed(new, **{way: each.argmax(1).numpy() for way, each in said.items()})
        new.rename(self.path)


def run(training: Training) -> Training:
    training()
    return training


def gathered(out: Path, labels: Digits) -> dict[str, Digits]:
    """What all trainings said: for each way the digits (seeds, N)."""
    said: dict[str, Digits] = {}
    for name, (number, seed), fold in product(WAYS, enumerate(SEEDS), range(FOLDS)):
        held = folds(labels, seed) == fold
        with np.load(out / f"{name}-seed{seed}-fold{fold}.npz") as arrays:
            for way, digits in arrays.items():
                every = said.setdefault(way, np.full((len(SEEDS), len(labels)), -1))
                every[number, held] = digits
    return said


def compared(labels: Digits, said: Mapping[str, Digits]) -> dict[str, Any]:
    """Accuracies in per cent, and differences to each of the bases in per cent points."""
    right = {way: (digits == labels) * 100.0 for way, digits in said.items()}
    mean = {way: each.mean(0) for way, each in right.items()}
    result: dict[str, Any] = {
        "accuracy %": {title(way): summary(each.mean(1).tolist()) for way, each in right.items()}
    }
    for base in BASES:
        result[f"against {title(base)}"] = {
            title(way): difference(mean[way] - mean[base]) for way in said if way != base
        }
    return result


def difference(points: NDArray[np.float64]) -> dict[str, Any]:
    """The mean of differences (N,) by recording, with its interval of 95 %."""
    found = bootstrap((points,), np.mean, method="percentile", rng=0).confidence_interval
    low, high = float(found.low), float(found.high)
    apart = not low <= 0 <= high
    return {"points": float(points.mean()), "from": low, "to": high, "told apart": apart}


def table(result: Mapping[str, Any]) -> str:
    """The result as Markdown; a difference in bold is told apart from 0."""
    bases = [title(base) for base in BASES]
    rows = ["| way | accuracy, % |" + "".join(f" against {base}, points |" for base in bases)]
    rows.append("|---|---|" + "---|" * len(bases))
    for way, each in result["accuracy %"].items():
        cells = [way, f"{each['mean']:.2f} ± {each['std']:.2f}"]
        for base in bases:
            found = result[f"against {base}"].get(way)
            cells.append("" if found is None else _shown(found))
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _shown(found: Mapping[str, Any]) -> str:
    points = f"{found['points']:+.2f}"
    bold = f"**{points}**" if found["told apart"] else points
    return f"{bold} ({found['from']:+.2f} to {found['to']:+.2f})"


def main() -> None:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, help="folder of train.npz and test.npz")
    parser.add_argument("--out", type=Path, required=True, help="folder for answers and results")
    parser.add_argument("--epochs", type=int, default=PLAN.epochs)
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time")
    options = parser.parse_args()
    answers = options.out / "answers.npz"
    if options.data is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        every = [*product([SEEDS[0]], [None], WAYS), *product(SEEDS, range(FOLDS), WAYS)]
        trainings = [
            Training(way, seed, fold, options.data, options.out, options.epochs)
            for seed, fold, way in every
        ]
        work = [training for training in trainings if not training.path.exists()]
        begin = time.monotonic()
        with get_context("spawn").Pool(options.jobs) as pool:
            for done, training in enumerate(pool.imap_unordered(run, work), 1):
                left = (time.monotonic() - begin) / done * (len(work) - done)
                print(f"{done}/{len(work)} {training.path.stem}, {left:.0f} s left", flush=True)
        inputs, every_label = recordings(options.data)
        labels = every_label.numpy()
        for name, chosen in (
            ("calibration", np.random.default_rng(0).permutation(TRAINING)[:CALIBRATION]),
            ("test", np.arange(TRAINING, len(labels))),
        ):
            path = options.out / f"{name}.npz"
            np.savez_compressed(path, inputs=inputs[:, chosen].numpy(), labels=labels[chosen])
        said = gathered(options.out, labels)
        small = {way: digits.astype(np.uint8) for way, digits in said.items()}
        np.savez_compressed(answers, labels=labels.astype(np.uint8), **small)
    if not answers.is_file():
        raise SystemExit(f"{answers} is missing: give --data to train the networks")
    with np.load(answers) as arrays:
        said = {way: digits.astype(np.int64) for way, digits in arrays.items()}
    result = compared(said.pop("labels"), said)
    (options.out / "comparison.json").write_text(json.dumps(result, indent=2) + "\n")
    print(table(result))


if __name__ == "__main__":
    main()
