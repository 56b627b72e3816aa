"""A plain spiking network for handwritten digits: six layers of weights, five of them spiking."""

from __future__ import annotations

from torch import Tensor, nn

from snncc.nn import IF, LIF, OverTime

TIME_STEPS = 4


def spiking(channels_in: int, channels: int, stride: int, neuron: nn.Module) -> nn.Sequential:
    """A 3×3 convolution, its batch norm and its neurons, on (T, N, C, H, W)."""
    conv = nn.Conv2d(channels_in, channels, 3, stride, padding=1, bias=False)
    return nn.Sequential(OverTime(nn.Sequential(conv, nn.BatchNorm2d(channels))), neuron)


class DigitNet(nn.Module):
    """Images (N, 1, 28, 28) with values 0 to 255 to logits (N, 10).

    The first convolution sees the image once; its current is the same at every time step. Neurons
    with and without a leak, hard and soft resets.
    """

    def __init__(self, time_steps: int = TIME_STEPS) -> None:
        super().__init__()
        self.time_steps = time_steps
        self.stem = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16))
        self.encode = IF()
        self.layers = nn.Sequential(
            spiking(16, 16, 2, IF()),
            spiking(16, 32, 1, LIF(tau=2.0, decay_input=False)),
            spiking(32, 32, 2, LIF(tau=4.0, reset="soft")),
            spiking(32, 32, 1, IF(reset="soft")),
        )
        self.fc = OverTime(nn.Linear(32 * 7 * 7, 10))

    def forward(self, x: Tensor) -> Tensor:
        current = self.stem(x / 255)
        spikes = self.encode(current.unsqueeze(0).repeat(self.time_steps, 1, 1, 1, 1))
        logits: Tensor = self.fc(self.layers(spikes).flatten(2)).mean(0)
        return logits
