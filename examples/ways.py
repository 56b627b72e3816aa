"""One network trained on digits in several ways: the command line that two examples share.

For each way and seed a training; of the first seed the network is kept, as `snncc compile` reads
it, and the accuracies of all go into results.json, with the CPU time of the trainings.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from examples.digits import digits
from examples.training import Gradients, Plan, accuracy, outputs, train
from snncc import save_model


@dataclass(frozen=True)
class Way:
    """How to make the network and the gradients of a batch.

    heads: a name for each of the network's outputs, the deployed one first; readings: further
    ones, from the network and the images to logits.
    """

    build: Callable[[], nn.Module]
    gradients: Gradients
    heads: tuple[str, ...] = ("spikes",)
    readings: Mapping[str, Callable[[Any, Tensor], Tensor]] | None = None


def main(description: str, ways: Mapping[str, Way], network: Mapping[str, Any], plan: Plan) -> None:
    """Reads the arguments, trains, and writes WAY.pt of each way and results.json."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--out", type=Path, required=True, help="folder for weights and results")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--epochs", type=int, default=plan.epochs)
    parser.add_argument("--ways", nargs="+", default=list(ways), choices=list(ways))
    options = parser.parse_args()
    torch.set_num_threads(1)
    plan = replace(plan, epochs=options.epochs)
    (images, labels), test = digits()
    found: dict[str, Any] = {}
    for name in options.ways:
        way = ways[name]
        right: dict[str, list[float]] = {}
        seconds: list[float | None] = []
        for seed in options.seeds:
            print(f"{name}, seed {seed}", flush=True)
            state = options.out / "states" / f"{name}-{seed}-{plan.epochs}.pt"
            torch.manual_seed(seed)
            clock = _Clock(state.with_suffix(".json"), fresh=not state.exists())
            trained = train(
                way.build(), images, labels, plan, seed, way.gradients, axis=0, state=state
            )
            seconds.append(clock.stop())
            for head, value in _accuracies(way, trained, *test).items():
                print(f"  {head}: {value:.1f} % of {len(test[1])} images", flush=True)
                right.setdefault(head, []).append(value)
            if seed == options.seeds[0]:
                path = options.out / f"{name}.pt"
                save_model(trained, path, test[0][:2].float(), layout="N", input="analog")
        found[name] = {"test %": {head: _summary(values) for head, values in right.items()}}
        found[name]["training CPU s"] = seconds
    record = {"network": network, "plan": asdict(plan), "seeds": options.seeds, "ways": found}
    (options.out / "results.json").write_text(json.dumps(record, indent=2) + "\n")
    print(table(record))


def table(record: Mapping[str, Any]) -> str:
    """What results.json holds as a Markdown table, a row per way and reading."""
    rows = ["| way | read out | test accuracy, % | training, CPU s |", "|---|---|---|---|"]
    for way, found in record["ways"].items():
        seconds = ", ".join("–" if s is None else f"{s:.0f}" for s in found["training CPU s"])
        for reading, each in found["test %"].items():
            values = ", ".join(f"{value:.1f}" for value in each["per seed"])
            rows.append(f"| {way} | {reading} | {values} | {seconds} |")
    return "\n".join(rows)


class _Clock:
    """CPU seconds of a training in one go, kept beside its state; None of one that was cut."""

    def __init__(self, path: Path, fresh: bool) -> None:
        self.path, self.fresh, self.begin = path, fresh, time.process_time()

    def stop(self) -> float | None:
        if self.fresh:
            seconds = round(time.process_time() - self.begin, 1)
            self.path.write_text(json.dumps(seconds) + "\n")
        if not self.path.exists():
            return None
        found: float = json.loads(self.path.read_text())
        return found


@torch.no_grad()
def _accuracies(way: Way, network: nn.Module, images: Tensor, labels: Tensor) -> dict[str, float]:
    logits = dict(zip(way.heads, outputs(network, images, axis=0), strict=True))
    for name, read in (way.readings or {}).items():
        logits[name] = torch.cat([read(network, part.float()) for part in images.split(100)])
    return {name: accuracy(each, labels) for name, each in logits.items()}


def _summary(values: list[float]) -> dict[str, Any]:
    """Mean and sample standard deviation (None for a single seed)."""
    std = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {"mean": float(np.mean(values)), "std": std, "per seed": values}
