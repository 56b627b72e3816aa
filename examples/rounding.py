"""What 8 bits change on all recordings, those of training among them.

    python -m examples.rounding MODEL.pt --calibrate CALIBRATION.npz --data FOLDER

FOLDER holds train.npz and test.npz. Rounding knows nothing of training, so all recordings tell
something of it, and 1,100 tell more than 100. Prints right answers in floats and in 8 bits, and how
many recordings are right in one of them alone.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

import snncc
from examples.events import frames, read
from snncc.frontends.checkpoints import open_model


def main() -> None:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model")
    parser.add_argument("--calibrate", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    options = parser.parse_args()
    opened = open_model(options.model)
    assert opened.shape is not None
    with np.load(options.calibrate) as arrays:
        calibration = arrays["inputs"]
    program = snncc.compile(
        opened.module,
        torch.zeros(opened.shape),
        "loihi",
        input=opened.input or "analog",
        layout=opened.layout,
        weight_bits=8,
        calibration=calibration,
        verify=False,
    )
    total = np.zeros(4, np.int64)
    for name in ("test.npz", "train.npz"):
        recordings = read(options.data, name)
        run = snncc.simulate(program, frames(recordings, opened.shape[0]))
        assert run.rounding is not None
        fixed, floats = (
            logits.argmax(1).numpy() == recordings.labels
            for logits in (run.result.logits, run.rounding.logits)
        )
        counts = np.array([len(fixed), floats.sum(), fixed.sum(), (fixed & ~floats).sum()])
        total += counts
        print(f"{name}: {said(counts)}", flush=True)
    print(f"all: {said(total)}")


def said(counts: np.ndarray) -> str:
    of, floats, fixed, only = (int(each) for each in counts)
    return (
        f"{100 * floats / of:.1f} % in floats, {100 * fixed / of:.1f} % in 8 bits; "
        f"right in 8 bits alone {only}, in floats alone {only + floats - fixed}"
    )


if __name__ == "__main__":
    main()
