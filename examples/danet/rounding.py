"""What 8 bits change on recordings that a network has not seen, by cross-validation.

    python -m examples.danet.rounding --data FOLDER --out FOLDER

The 1,100 recordings of train.npz and test.npz are divided into folds (`examples.dst.compare`). A
DANet is trained as `danet.pt` is on all folds but one, compiled to 8 bits with 32 of its training
recordings as calibration, and run in floats and in 8 bits on the fold it did not see. So the two
accuracies are those of 1,100 recordings, which the 100 of test.npz are too few for. rounding.json
in the folder of --out holds them; folds that are in it are not trained again.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import snncc
from examples.danet.train import CALIBRATION, PLAN, STAGES, STEMS
from examples.dst.compare import FOLDS, folds, recordings
from examples.training import cross_entropy, mean_interval, train
from snncc.nn import DANet

SIZE, EPOCHS = 17, 25
"""Those of danet.pt."""


def answers(
    inputs: Tensor, labels: Tensor, held: NDArray[np.bool_], seed: int, state: Path
) -> dict[str, str]:
    """Whether a network says the right digit of the recordings that are ``held`` back, as 1 or 0.

    ``inputs`` (T, N, 2, 34, 34), ``labels`` and ``held`` (N,). "float" and "8 bits" by name.
    """
    torch.manual_seed(seed)
    made = DANet(**STAGES, **STEMS[SIZE], connections="dense")
    seen, unseen = inputs[:, ~held], inputs[:, held]
    plan = replace(PLAN, epochs=EPOCHS)
    network = train(made, seen, labels[~held], plan, seed, cross_entropy, state=state)
    chosen = torch.from_numpy(np.random.default_rng(seed).permutation(seen.shape[1])[:CALIBRATION])
    program = snncc.compile(
        network.eval(), seen[:, :2].float(), "loihi1", input="spike", layout="TN",
        weight_bits=8, calibration=seen[:, chosen].numpy(),
    )  # fmt: skip
    run = snncc.simulate(program, unseen.numpy())
    assert run.rounding is not None
    said = {"float": run.rounding.logits, "8 bits": run.result.logits}
    return {
        name: "".join(str(int(right)) for right in logits.argmax(1) == labels[held])
        for name, logits in said.items()
    }


def summary(found: dict[str, dict[str, str]]) -> dict[str, Any]:
    """Accuracies in per cent, and what 8 bits gain in points, with an interval of 95 %."""
    floats, fixed = (
        np.array([int(each) for fold in found.values() for each in fold[name]])
        for name in ("float", "8 bits")
    )
    gain = 100.0 * (fixed - floats)
    return {
        "recordings": len(floats),
        "float %": round(100 * float(floats.mean()), 2),
        "8 bits %": round(100 * float(fixed.mean()), 2),
        "gain, points": round(float(gain.mean()), 2),
        "interval": [round(edge, 2) for edge in mean_interval(gain)],
        "right in 8 bits alone": int((gain > 0).sum()),
        "right in floats alone": int((gain < 0).sum()),
    }


def main() -> None:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of train.npz, test.npz")
    parser.add_argument("--out", type=Path, required=True, help="folder for rounding.json")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    record = options.out / "rounding.json"
    results: dict[str, Any] = json.loads(record.read_text()) if record.exists() else {}
    inputs, labels = recordings(options.data)
    parts = folds(labels.numpy(), options.seed)
    found = results.setdefault("folds", {})
    for fold in range(FOLDS):
        if str(fold) in found:
            continue
        state = options.out / f"fold{fold}-seed{options.seed}.state"
        found[str(fold)] = answers(inputs, labels, parts == fold, options.seed, state)
        results |= {"seed": options.seed, "summary": summary(found)}
        record.write_text(json.dumps(results, indent=2) + "\n")
        print(f"{fold + 1} of {FOLDS} folds: {results['summary']}", flush=True)


if __name__ == "__main__":
    main()
