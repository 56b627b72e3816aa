"""Trains the same network with and without the auxiliary pathway, and compares three ways.

    python examples/dst/train.py --data FOLDER --out FOLDER

FOLDER of --data holds train.npz and test.npz, event recordings in the format of recordings.npz
here. Into the folder of --out go plain-seedN.pt and dst-seedN.pt, as `snncc compile` reads them,
and results.json. Per seed there are two trainings: the plain full-spike network (FSNN,
cross-entropy) and the same network with dual-stream training (DST); the third way is the DST
network with its auxiliary pathway kept (DSNN).
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from events import frames, load
from torch import Tensor

from snncc.frontends.checkpoints import save_model
from snncc.nn import DualStreamResNet, dst_loss

NETWORK: dict[str, Any] = {
    "in_channels": 2,
    "classes": 10,
    "widths": [16, 32, 64],
    "blocks": [1, 1, 1],
    "gate": "or",
    "stem_kernel": 3,
    "stem_stride": 2,
}
WAYS = [
    "FSNN, plain",
    "FSNN, DST, AAP stripped",
    "DSNN, AAP kept: AAP head",
    "DSNN, AAP kept: mean of both",
]
EPOCHS, BATCH, LEARNING_RATE, WEIGHT_DECAY, SHIFT = 40, 25, 1e-2, 1e-2, 2


def shifted(batch: Tensor, generator: torch.Generator) -> Tensor:
    """Each sample of (T, N, C, H, W) moved by up to ±SHIFT pixels; what leaves is lost."""
    padded = torch.nn.functional.pad(batch, (SHIFT,) * 4)
    height, width = batch.shape[-2:]
    moves = torch.randint(0, 2 * SHIFT + 1, (batch.shape[1], 2), generator=generator).tolist()
    return torch.stack(
        [padded[:, n, :, y : y + height, x : x + width] for n, (y, x) in enumerate(moves)], dim=1
    )


def train(
    inputs: Tensor, labels: Tensor, seed: int, auxiliary: bool, epochs: int
) -> torch.nn.Module:
    """Trains on frames (T, N, C, H, W); returns the network in eval mode."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    network = DualStreamResNet(**NETWORK, auxiliary=auxiliary)
    steps = epochs * (len(labels) // BATCH)
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for epoch in range(epochs):
        begin, total = time.monotonic(), 0.0
        order = torch.randperm(len(labels), generator=generator)
        for chosen in order[: len(labels) // BATCH * BATCH].split(BATCH):
            outputs = network(shifted(inputs[:, chosen], generator))
            loss = dst_loss(outputs, labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(chosen)
        seconds = time.monotonic() - begin
        print(
            f"  epoch {epoch + 1:2d}: loss {total / len(labels):.3f}, {seconds:.1f} s", flush=True
        )
    return network.eval()


@torch.no_grad()
def accuracies(network: torch.nn.Module, inputs: Tensor, labels: Tensor) -> dict[str, float]:
    """Accuracy in percent of each way to read the network's heads."""
    outputs = network(inputs)
    if isinstance(outputs, Tensor):
        readings = {WAYS[0]: outputs}
    else:
        spike, auxiliary = outputs
        readings = dict(zip(WAYS[1:], [spike, auxiliary, (spike + auxiliary) / 2], strict=True))
    return {
        name: 100 * (logits.argmax(1) == labels).double().mean().item()
        for name, logits in readings.items()
    }


def summary(values: list[float]) -> dict[str, Any]:
    """Mean and sample standard deviation (None for a single seed) of one way's accuracies."""
    std = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {"mean": float(np.mean(values)), "std": std, "per_seed": values}


def table(results: dict[str, dict[str, Any]]) -> str:
    """The results as a Markdown table."""
    rows = ["| way | mean ± std, % | per seed, % |", "|---|---|---|"]
    for name, result in results.items():
        each = ", ".join(f"{value:.0f}" for value in result["per_seed"])
        spread = "" if result["std"] is None else f" ± {result['std']:.1f}"
        rows.append(f"| {name} | {result['mean']:.1f}{spread} | {each} |")
    return "\n".join(rows)


def read(folder: Path, name: str) -> tuple[Tensor, Tensor]:
    """Frames (T, N, 2, 34, 34) float32 and labels (N,) of one file of recordings."""
    path = folder / name
    if not path.is_file():
        raise SystemExit(f"{path} is missing: --data needs a folder with train.npz and test.npz")
    recordings = load(path)
    return (
        torch.from_numpy(frames(recordings)).float(),
        torch.from_numpy(recordings.labels.astype(np.int64)),
    )


def main() -> None:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of train.npz, test.npz")
    parser.add_argument("--out", type=Path, required=True, help="folder for weights and results")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    train_inputs, train_labels = read(options.data, "train.npz")
    test_inputs, test_labels = read(options.data, "test.npz")
    options.out.mkdir(parents=True, exist_ok=True)

    per_seed: dict[str, list[float]] = {}
    for seed in options.seeds:
        for auxiliary in (False, True):
            print(f"seed {seed}, {'DST' if auxiliary else 'plain'}", flush=True)
            network = train(train_inputs, train_labels, seed, auxiliary, options.epochs)
            found = accuracies(network, test_inputs, test_labels)
            print(f"  {found}", flush=True)
            for name, value in found.items():
                per_seed.setdefault(name, []).append(value)
            way = "dst" if auxiliary else "plain"
            save_model(
                network,
                options.out / f"{way}-seed{seed}.pt",
                test_inputs[:, :2],
                layout="TN",
                input="spike",
            )
    results = {name: summary(per_seed[name]) for name in sorted(per_seed, key=WAYS.index)}
    record = {
        "network": NETWORK,
        "epochs": options.epochs,
        "seeds": options.seeds,
        "test %": results,
    }
    (options.out / "results.json").write_text(json.dumps(record, indent=2) + "\n")
    print(table(results))


if __name__ == "__main__":
    main()
