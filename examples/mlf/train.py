"""Trains multi-level firing networks of several depths, with DS blocks, plain ones and LIF alone.

    python -m examples.mlf.train --data FOLDER --out FOLDER

FOLDER of --data holds train.npz and test.npz, event recordings as examples/dst/DATA.md says. Into
the folder of --out go ds-8-seed0.pt and its like (kind, blocks, seed), as `snncc compile` reads
them, results.json, test.npz and calibration.npz. Training goes on where it was cut.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from examples.events import counts, levels, read
from examples.mlf.dormant import dormant
from examples.training import Plan, accuracy, cross_entropy, interval, outputs, train, write
from snncc import save_model
from snncc.nn import MLFResNet

PLAN = Plan(epochs=20, batch=25, learning_rate=5e-3)
TIME_STEPS = 4
INPUT_LEVELS = 6
WIDTHS = (8, 16)
BLOCKS = (4, 8, 16, 32)
"""Half of them in each of the two stages."""
KINDS: dict[str, dict[str, Any]] = {
    "ds": {"residual": "ds"},
    "plain": {"residual": "plain"},
    "lif": {"residual": "plain", "thresholds": (0.6,)},
}
"""DS blocks and plain blocks with neurons of three levels, and plain blocks with LIF neurons."""
CALIBRATION = 32


def samples(folder: Path, name: str) -> tuple[Tensor, Tensor]:
    """Levels of event counts (T, N, 2·INPUT_LEVELS, 34, 34) uint8 and labels (N,)."""
    recordings = read(folder, name)
    binned = levels(counts(recordings, TIME_STEPS), INPUT_LEVELS)
    return torch.from_numpy(binned), torch.from_numpy(recordings.labels.astype(np.int64))


def network(kind: str, blocks: int) -> MLFResNet:
    """The network of so many blocks."""
    each = [blocks // len(WIDTHS)] * len(WIDTHS)
    return MLFResNet(input_levels=INPUT_LEVELS, widths=WIDTHS, blocks=each, **KINDS[kind])


def measured(trained: nn.Module, inputs: Tensor, labels: Tensor) -> dict[str, Any]:
    """Accuracy in per cent with its 95 % interval (Clopper-Pearson), and the dormant units."""
    (logits,) = outputs(trained, inputs)
    right = int((logits.argmax(1) == labels).sum())
    found = asdict(dormant(trained, inputs))
    return {
        "accuracy": accuracy(logits, labels),
        "interval": interval(right, len(labels)),
        "dormant": {name: round(share, 4) for name, share in found.items()},
    }


def table(networks: Mapping[str, Mapping[str, Any]]) -> str:
    """The results as a Markdown table."""
    rows = [
        "| network | parameters | accuracy, % | 95 % interval | silent | never | at a step |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, found in sorted(networks.items(), key=lambda each: _order(each[0])):
        low, high = found["interval"]
        shares = " | ".join(f"{100 * share:.1f} %" for share in found["dormant"].values())
        accuracy = f"{found['accuracy']:.0f} | {low} to {high}"
        rows.append(f"| {name} | {found['parameters']:,} | {accuracy} | {shares} |")
    return "\n".join(rows)


def _order(name: str) -> tuple[int, int, str]:
    kind, blocks, seed = name.split("-")
    return int(blocks), list(KINDS).index(kind), seed


def main() -> None:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of train.npz, test.npz")
    parser.add_argument("--out", type=Path, required=True, help="folder for weights and results")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--blocks", type=int, nargs="+", default=BLOCKS)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--epochs", type=int, default=PLAN.epochs)
    options = parser.parse_args()
    torch.set_num_threads(1)
    inputs, labels = samples(options.data, "train.npz")
    test_inputs, test_labels = samples(options.data, "test.npz")
    options.out.mkdir(parents=True, exist_ok=True)
    chosen = torch.from_numpy(np.random.default_rng(0).permutation(len(labels))[:CALIBRATION])
    write(options.out / "calibration.npz", inputs[:, chosen], labels[chosen])
    write(options.out / "test.npz", test_inputs, test_labels)

    plan = replace(PLAN, epochs=options.epochs)
    record = options.out / "results.json"
    results: dict[str, Any] = json.loads(record.read_text()) if record.exists() else {}
    results |= {"plan": asdict(plan), "time_steps": TIME_STEPS, "input_levels": INPUT_LEVELS}
    networks = results.setdefault("networks", {})
    for seed in options.seeds:
        for blocks in options.blocks:
            for kind in options.kinds:
                name = f"{kind}-{blocks}-seed{seed}"
                if name in networks:
                    continue
                print(name, flush=True)
                torch.manual_seed(seed)
                made, begin = network(kind, blocks), time.process_time()
                state = options.out / "state" / f"{name}.state"
                trained = train(made, inputs, labels, plan, seed, cross_entropy, state=state)
                networks[name] = {
                    "parameters": sum(p.numel() for p in trained.parameters()),
                    **measured(trained, test_inputs, test_labels),
                    "cpu_seconds": round(time.process_time() - begin),
                }
                print(f"  {networks[name]}", flush=True)
                path = options.out / f"{name}.pt"
                save_model(trained, path, test_inputs[:, :2].float(), layout="TN", input="spike")
                record.write_text(json.dumps(results, indent=2) + "\n")
    print(table(networks))


if __name__ == "__main__":
    main()
