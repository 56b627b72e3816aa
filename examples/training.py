"""The training loop that the examples share: seeds, progress, and a file to go on from.

An example says how the gradients of one batch come about and how long to train; the rest is here.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import binomtest, bootstrap
from torch import Tensor, nn
from torch.nn import functional as F

Gradients = Callable[[nn.Module, Tensor, Tensor], float]
"""Adds the gradients of a batch (inputs, labels) to the network's, and returns the loss."""


@dataclass(frozen=True)
class Plan:
    """How a network is trained, by AdamW with a cosine schedule over all steps.

    epochs: times that all samples are seen; batch: samples per step; shift: each sample is moved by
    up to so many pixels up, down, left and right.
    """

    epochs: int
    batch: int = 25
    learning_rate: float = 1e-2
    weight_decay: float = 1e-2
    shift: int = 2


def train(
    network: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    plan: Plan,
    seed: int,
    gradients: Gradients,
    *,
    axis: int = 1,
    state: Path | None = None,
    quiet: bool = False,
) -> nn.Module:
    """Trains on inputs whose samples lie along ``axis`` (1 with a time axis, 0 for images).

    Returns the network in eval mode. The order and the shifts of the samples come from ``seed``;
    seed torch before you make the network for its weights. With ``state`` every epoch is written
    to that file, and a training that was cut goes on from it, with the same result.
    """
    source = torch.Generator().manual_seed(seed)
    batches = len(labels) // plan.batch
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=plan.learning_rate, weight_decay=plan.weight_decay
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, plan.epochs * batches)
    parts = {"network": network, "optimizer": optimizer, "schedule": schedule}
    first = 0 if state is None else _go_on(state, parts, source)
    begin = time.monotonic()
    for epoch in range(first, plan.epochs):
        network.train()
        total = 0.0
        order = torch.randperm(len(labels), generator=source)
        for chosen in order[: batches * plan.batch].split(plan.batch):
            optimizer.zero_grad()
            batch = shifted(inputs.index_select(axis, chosen).float(), plan.shift, axis, source)
            total += gradients(network, batch, labels[chosen])
            optimizer.step()
            schedule.step()
        done = epoch + 1
        if state is not None:
            _write(state, parts, source, done)
        if not quiet:
            left = (time.monotonic() - begin) / (done - first) * (plan.epochs - done)
            loss = total / batches
            print(f"  epoch {done}/{plan.epochs}: loss {loss:.3f}, {left:.0f} s left", flush=True)
    return network.eval()


def shifted(batch: Tensor, most: int, axis: int, source: torch.Generator) -> Tensor:
    """Each sample of (…, H, W) moved by up to ``most`` pixels each way; what leaves is lost."""
    if not most:
        return batch
    padded = F.pad(batch, (most,) * 4)
    height, width = batch.shape[-2:]
    moves = torch.randint(0, 2 * most + 1, (batch.shape[axis], 2), generator=source).tolist()
    return torch.stack(
        [
            padded.select(axis, n)[..., y : y + height, x : x + width]
            for n, (y, x) in enumerate(moves)
        ],
        dim=axis,
    )


@torch.no_grad()
def outputs(
    network: nn.Module, inputs: Tensor, *, axis: int = 1, batch: int = 100
) -> tuple[Tensor, ...]:
    """What the network returns on all inputs, a tensor (N, classes) for each of its heads."""
    heads: list[tuple[Tensor, ...]] = []
    for part in inputs.split(batch, dim=axis):
        found = network(part.float())
        heads.append((found,) if isinstance(found, Tensor) else tuple(found))
    return tuple(torch.cat(each) for each in zip(*heads, strict=True))


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """Right answers in per cent."""
    return 100 * (logits.argmax(1) == labels).double().mean().item()


def interval(right: int, samples: int) -> list[float]:
    """The 95 % interval of an accuracy, in per cent: Clopper-Pearson, which is exact."""
    found = binomtest(right, samples).proportion_ci(method="exact")
    return [round(100 * found.low, 1), round(100 * found.high, 1)]


def mean_interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """The 95 % interval of a mean by the bootstrap (BCa, 10,000 draws); equal values have none."""
    if not np.ptp(values):
        return float(values.mean()), float(values.mean())
    source = np.random.default_rng(0)
    low, high = bootstrap((values,), np.mean, n_resamples=10_000, rng=source).confidence_interval
    return float(low), float(high)


def cross_entropy(network: nn.Module, inputs: Tensor, labels: Tensor) -> float:
    """`Gradients` of the mean cross-entropy."""
    loss = F.cross_entropy(network(inputs), labels)
    loss.backward()
    return loss.item()


def write(path: Path, inputs: Tensor, labels: Tensor) -> None:
    """An .npz of samples and their labels, as `snncc` reads it."""
    np.savez_compressed(path, inputs=inputs.numpy(), labels=labels.numpy())


# -- a training that was cut ---------------------------------------------------------------------


def _write(path: Path, parts: dict[str, Any], source: torch.Generator, epochs: int) -> None:
    content = {name: part.state_dict() for name, part in parts.items()}
    buffer = io.BytesIO()
    drawn = {"source": source.get_state(), "torch": torch.get_rng_state()}
    torch.save(content | drawn | {"epochs": epochs}, buffer)
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.new")
    new.write_bytes(buffer.getvalue())
    os.replace(new, path)


def _go_on(path: Path, parts: dict[str, Any], source: torch.Generator) -> int:
    """Puts the parts where the file left them; the epochs that are done, 0 without a file."""
    if not path.exists():
        return 0
    content = torch.load(path, weights_only=True)
    for name, part in parts.items():
        part.load_state_dict(content[name])
    source.set_state(content["source"])
    torch.set_rng_state(content["torch"])
    epochs: int = content["epochs"]
    return epochs
