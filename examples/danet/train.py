"""Trains DANet, a SEW ResNet and a plain spiking ResNet in the same budget, and compares them.

    python -m examples.danet.train --data FOLDER --out FOLDER

FOLDER of --data holds train.npz and test.npz, event recordings as examples/dst/DATA.md says. Into
the folder of --out go dense-seed0.pt and its like, as `snncc compile` reads them, results.json,
test.npz and calibration.npz. Training goes on where it was cut.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from examples.dst.train import samples
from examples.training import (
    Plan,
    accuracy,
    cross_entropy,
    interval,
    mean_interval,
    outputs,
    train,
    write,
)
from snncc import save_model
from snncc.nn import DANet

PLAN = Plan(epochs=20, batch=25, learning_rate=5e-3)
STAGES: dict[str, Any] = {"widths": (8, 16, 16, 32), "blocks": (2, 2, 2, 2)}
STEMS = {9: {"stem_kernel": 5, "stem_stride": 4}, 17: {"stem_kernel": 3, "stem_stride": 2}}
"""By the height and width of what the stem hands on; the input has 34."""
TIME_STEPS = 5
CONNECTIONS = ("dense", "sew", "plain")
CALIBRATION = 32


def compared(networks: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Mean accuracy, and the difference of each two kinds with a 95 % interval, in points.

    ``networks``: by kind and seed; "right" has a 1 for each test recording that was told rightly,
    else a 0. The difference is paired: of each recording by itself, averaged over the seeds that
    all kinds have; the interval is a bootstrap over the recordings (BCa, 10,000 draws). It does
    not hold the spread over seeds, which "std" has.
    """
    seeds = [
        seed
        for seed in sorted({name.rpartition("-seed")[2] for name in networks})
        if all(f"{kind}-seed{seed}" in networks for kind in CONNECTIONS)
    ]
    if not seeds:
        return {}
    found: dict[str, Any] = {"seeds": [int(seed) for seed in seeds]}
    rows = {
        kind: np.array([[int(c) for c in networks[f"{kind}-seed{s}"]["right"]] for s in seeds])
        for kind in CONNECTIONS
    }
    for kind, right in rows.items():
        each = 100 * right.mean(axis=1)
        std = round(float(each.std(ddof=1)), 2) if len(each) > 1 else None
        found[kind] = {"mean": round(float(each.mean()), 2), "std": std, "per_seed": each.tolist()}
    for first, second in itertools.combinations(CONNECTIONS, 2):
        gain = 100 * (rows[first].mean(axis=0) - rows[second].mean(axis=0))
        found[f"{first} - {second}"] = {
            "mean": round(float(gain.mean()), 2),
            "interval": [round(edge, 2) for edge in mean_interval(gain)],
        }
    return found


def table(results: Mapping[str, Any]) -> str:
    """The comparison as two Markdown tables."""
    found, networks = results["compared"], results["networks"]
    rows = ["| network | parameters | mean ± std, % | per seed, % |", "|---|---|---|---|"]
    for kind in CONNECTIONS:
        row, parameters = found[kind], networks[f"{kind}-seed{found['seeds'][0]}"]["parameters"]
        spread = "" if row["std"] is None else f" ± {row['std']:.1f}"
        each = ", ".join(f"{value:.0f}" for value in row["per_seed"])
        rows.append(f"| {kind} | {parameters:,} | {row['mean']:.1f}{spread} | {each} |")
    rows += ["", "| difference, points | mean | 95 % interval |", "|---|---|---|"]
    for first, second in itertools.combinations(CONNECTIONS, 2):
        row = found[f"{first} - {second}"]
        low, high = row["interval"]
        rows.append(f"| {first} − {second} | {row['mean']:+.1f} | {low:+.1f} to {high:+.1f} |")
    return "\n".join(rows)


def main() -> None:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of train.npz, test.npz")
    parser.add_argument("--out", type=Path, required=True, help="folder for weights and results")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--kinds", nargs="+", choices=CONNECTIONS, default=CONNECTIONS)
    parser.add_argument("--size", type=int, choices=STEMS, default=9, help="of the first stage")
    parser.add_argument("--epochs", type=int, default=PLAN.epochs)
    options = parser.parse_args()
    torch.set_num_threads(1)
    inputs, labels = samples(options.data, "train.npz", TIME_STEPS)
    test_inputs, test_labels = samples(options.data, "test.npz", TIME_STEPS)
    options.out.mkdir(parents=True, exist_ok=True)
    chosen = torch.from_numpy(np.random.default_rng(0).permutation(len(labels))[:CALIBRATION])
    write(options.out / "calibration.npz", inputs[:, chosen], labels[chosen])
    write(options.out / "test.npz", test_inputs, test_labels)

    plan = replace(PLAN, epochs=options.epochs)
    record = options.out / "results.json"
    results: dict[str, Any] = json.loads(record.read_text()) if record.exists() else {}
    sizes = STAGES | STEMS[options.size]
    results |= {"network": sizes, "time_steps": TIME_STEPS, "plan": asdict(plan)}
    networks = results.setdefault("networks", {})
    for seed in options.seeds:
        for kind in options.kinds:
            name = f"{kind}-seed{seed}"
            if name in networks:
                continue
            print(name, flush=True)
            torch.manual_seed(seed)
            made, begin = DANet(**sizes, connections=kind), time.process_time()
            state = options.out / "state" / f"{name}.state"
            trained = train(made, inputs, labels, plan, seed, cross_entropy, state=state)
            (logits,) = outputs(trained, test_inputs)
            right = (logits.argmax(1) == test_labels).int().tolist()
            networks[name] = {
                "parameters": sum(p.numel() for p in trained.parameters()),
                "accuracy": accuracy(logits, test_labels),
                "interval": interval(sum(right), len(right)),
                "cpu_seconds": round(time.process_time() - begin),
                "right": "".join(map(str, right)),
            }
            print(f"  {networks[name]}", flush=True)
            path = options.out / f"{name}.pt"
            save_model(trained, path, test_inputs[:, :2].float(), layout="TN", input="spike")
            results["compared"] = compared(networks)
            record.write_text(json.dumps(results, indent=2) + "\n")
    if results["compared"]:
        print(table(results))


if __name__ == "__main__":
    main()
