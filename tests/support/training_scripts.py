"""Training scripts in the usual styles, each with the command line that is proposed for it.

They run with no epoch, so that no data set is needed, and save the first weights.
"""

from __future__ import annotations

from dataclasses import dataclass

GUARD = 'if __name__ == "__main__":\n    main()\n'


@dataclass(frozen=True)
class Case:
    """``command`` is the first that is proposed; ``said`` has parts of the table and of what is
    left to the user; ``needs`` is the package of SpikingJelly that the script imports."""

    text: str
    command: str
    said: tuple[str, ...] = ()
    needs: str = ""


SNNTORCH = (
    """
import torch, torch.nn as nn
import snntorch as snn
from torch.utils.data import DataLoader

batch_size = 128
num_epochs = 0
num_inputs = 28 * 28
num_hidden = 50
num_outputs = 10
num_steps = 25
beta = 0.95


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(num_inputs, num_hidden)
        self.lif1 = snn.Leaky(beta=beta)
        self.fc2 = nn.Linear(num_hidden, num_outputs)
        self.lif2 = snn.Leaky(beta=beta)

    def forward(self, x):
        mem1 = self.lif1.init_leaky()
        mem2 = self.lif2.init_leaky()
        spk2_rec, mem2_rec = [], []
        for step in range(num_steps):
            spk1, mem1 = self.lif1(self.fc1(x), mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            spk2_rec.append(spk2)
            mem2_rec.append(mem2)
        return torch.stack(spk2_rec, dim=0), torch.stack(mem2_rec, dim=0)


def loader():
    from torchvision import datasets, transforms

    transform = transforms.Compose([transforms.Resize((28, 28)), transforms.ToTensor()])
    return DataLoader(datasets.MNIST("data", transform=transform), batch_size)


def main():
    torch.manual_seed(0)
    device = torch.device("cpu")
    net = Net().to(device)
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-4)
    for epoch in range(num_epochs):
        for data, targets in loader():
            spk_rec, mem_rec = net(data.view(batch_size, -1))
    torch.save(net.state_dict(), "net.pt")


"""
    + GUARD
)

JELLY = (
    """
import argparse
import torch
from torch import nn
from spikingjelly.activation_based import neuron, layer, functional, encoding

class SNN(nn.Module):
    def __init__(self, tau=2.0):
        super().__init__()
        self.layer = nn.Sequential(
            layer.Flatten(),
            layer.Linear(28 * 28, 10, bias=False),
            neuron.LIFNode(tau=tau),
        )

    def forward(self, x):
        return self.layer(x)


def loader():
    from torchvision.datasets import FashionMNIST
    from torchvision.transforms import ToTensor

    return torch.utils.data.DataLoader(FashionMNIST("data", transform=ToTensor()))


def main():
    torch.manual_seed(0)
    parser = argparse.ArgumentParser()
    parser.add_argument("-T", default=6, type=int, help="simulating time-steps")
    parser.add_argument("-epochs", default=0, type=int)
    parser.add_argument("-tau", default=2.0, type=float)
    args = parser.parse_args()
    net = SNN(tau=args.tau)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    encoder = encoding.PoissonEncoder()
    for epoch in range(args.epochs):
        for img, label in loader():
            out_fr = 0.0
            for t in range(args.T):
                out_fr += net(encoder(img))
            functional.reset_net(net)
    checkpoint = {"net": net.state_dict(), "epoch": 1}
    torch.save(checkpoint, "jelly.pth")


"""
    + GUARD
)

FRAMES = (
    """
import torch
from torch import nn
from spikingjelly.activation_based import neuron, layer, functional

EPOCHS = 0


class Frames(nn.Module):
    def __init__(self, channels=4):
        super().__init__()
        self.conv = nn.Sequential(
            layer.Conv2d(2, channels, 3, stride=4), layer.BatchNorm2d(channels), neuron.IFNode()
        )
        self.fc = nn.Sequential(layer.Flatten(), layer.Linear(channels * 64, 10), neuron.IFNode())

    def forward(self, x):
        return self.fc(self.conv(x)).mean(0)


def loader():
    from spikingjelly.datasets.n_mnist import NMNIST

    data = NMNIST("data", data_type="frame", frames_number=5, split_by="number")
    return torch.utils.data.DataLoader(data)


def main():
    torch.manual_seed(0)
    net = Frames(channels=6)
    functional.set_step_mode(net, step_mode="m")
    functional.reset_net(net)
    optimizer = torch.optim.Adam(net.parameters())
    for epoch in range(EPOCHS):
        for frame, label in loader():
            frame = frame.transpose(0, 1)  # [N, T, C, H, W] -> [T, N, C, H, W]
            net(frame)
            functional.reset_net(net)
    torch.save(net.state_dict(), "frames.pt")


"""
    + GUARD
)

TET = (
    """
import torch
import torch.nn as nn


class ZIF(torch.autograd.Function):
    @staticmethod
    def forward(ctx, input, gama):
        return (input > 0).float()

    @staticmethod
    def backward(ctx, grad):
        return grad, None


class LIFSpike(nn.Module):
    def __init__(self, thresh=1.0, tau=0.5, gama=1.0):
        super().__init__()
        self.thresh, self.tau, self.gama = thresh, tau, gama

    def forward(self, x):
        mem, spike_pot = 0, []
        for t in range(x.shape[1]):
            mem = mem * self.tau + x[:, t, ...]
            spike = ZIF.apply(mem - self.thresh, self.gama)
            mem = (1 - spike) * mem
            spike_pot.append(spike)
        return torch.stack(spike_pot, dim=1)


class SeqToANN(nn.Module):
    def __init__(self, *args):
        super().__init__()
        self.module = nn.Sequential(*args)

    def forward(self, x):
        y = self.module(x.flatten(0, 1))
        return y.view(x.shape[0], x.shape[1], *y.shape[1:])


class VGG(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(SeqToANN(nn.Conv2d(2, 4, 3, stride=8)), LIFSpike())
        self.classifier = SeqToANN(nn.Linear(4 * 6 * 6, 10))

    def forward(self, x):
        x = self.features(x)
        return self.classifier(torch.flatten(x, 2))


T = 4


def loader():
    from spikingjelly.datasets.cifar10_dvs import CIFAR10DVS
    from torchvision import transforms

    resize = transforms.Resize(size=(48, 48))
    return torch.utils.data.DataLoader(CIFAR10DVS("data", transform=resize, T=T))


def main():
    torch.manual_seed(0)
    model = VGG()
    parallel = torch.nn.DataParallel(model)
    optimizer = torch.optim.Adam(parallel.parameters())
    for epoch in range(0):
        for images, labels in loader():
            model(images)
    torch.save(model.state_dict(), "vgg.pth")


"""
    + GUARD
)

EVENTS = (
    """
import torch
from torch import nn

class Recurrent(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.fc = nn.Linear(700, hidden)
        self.back = nn.Linear(hidden, hidden, bias=False)
        self.out = nn.Linear(hidden, 20)
        self.hidden = hidden

    def forward(self, x):
        x = x.permute(1, 0, 2)
        mem = spike = torch.zeros(x.shape[1], self.hidden)
        total = 0
        for t in range(x.shape[0]):
            mem = 0.9 * mem * (1 - spike) + self.fc(x[t]) + self.back(spike)
            spike = (mem > 1.0).float()
            total = total + self.out(spike)
        return total


def loader():
    import tonic
    from tonic import transforms

    frames = transforms.ToFrame(sensor_size=tonic.datasets.SHD.sensor_size, n_time_bins=8)
    return torch.utils.data.DataLoader(tonic.datasets.SHD("data", transform=frames))


def main():
    torch.manual_seed(0)
    net = Recurrent(hidden=32)
    optimizer = torch.optim.Adam(net.parameters())
    for epoch in range(0):
        for events, label in loader():
            net(events.squeeze(2).clamp(max=1))
    torch.save(net.state_dict(), "shd.pt")


"""
    + GUARD
)

CASES: dict[str, Case] = {
    "snntorch": Case(
        SNNTORCH,
        "snncc compile train:Net --weights net.pt --input-shape 784 --layout N --input analog "
        "--head 0 --target loihi -o build/net",
        ("a loop over one input", "assumed: the first of 2 outputs", "images are numbers"),
    ),
    "spikingjelly": Case(
        JELLY,
        "snncc compile snncc_network:make --weights jelly.pth --input-shape 1,28,28 --layout N "
        "--time-steps 6 --input spike --target loihi -o build/snn",
        (
            "return SNN(tau=2.0)",
            "FashionMNIST",
            "encoding.PoissonEncoder",
            "for t in range",
            "args.tau",
            "assumed: the default of the command line",
        ),
        "activation_based",
    ),
    "frames": Case(
        FRAMES,
        "snncc compile snncc_network:make --weights frames.pt --input-shape 2,34,34 --layout TN "
        "--time-steps 5 --input count --target loihi -o build/frames",
        (
            "net = Frames(channels=6)",
            "frames_number=5",
            "events are counted",
            "from spikingjelly.activation_based import functional",
            "    functional.set_step_mode(net, 'm')",
        ),
        "activation_based",
    ),
    "tet": Case(
        TET,
        "snncc compile train:VGG --weights vgg.pth --input-shape 2,48,48 --layout NT "
        "--time-steps 4 --input count --target loihi -o build/vgg",
        ("x[:, t, ...]", "Resize"),
    ),
    "events": Case(
        EVENTS,
        "snncc compile snncc_network:make --weights shd.pt --input-shape 700 --layout NT "
        "--time-steps 8 --input spike --target loihi -o build/recurrent",
        ("return Recurrent(hidden=32)", "x.permute(1, 0, 2)", "clamp(max=1)", "n_time_bins=8"),
    ),
}
