"""Networks that are wrong on purpose, each a few lines, and the lines that must be reported.

A comment ``# <- SNN105`` marks a line whose finding is SNN105. Every error that `check` reports of
a network must be at a marked line with the marked code, and every mark must be reported.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import snntorch
import torch
import torch.nn.functional as F
from torch import nn

import snncc
from snncc.nn import IF, LIF

STEPS, SAMPLES = 4, 2


@dataclass(frozen=True)
class Wrong:
    """A network, what it takes, and the options that `check` gets.

    ``where``: the module path that is reported, where no line of code is to blame. ``needs``: the
    fixture of the environment it runs in.
    """

    name: str
    cls: type[nn.Module]
    example: torch.Tensor
    options: Mapping[str, Any] = field(default_factory=dict)
    where: Mapping[str, str] = field(default_factory=dict)
    needs: str = ""

    def make(self) -> nn.Module:
        torch.manual_seed(0)
        module = self.cls()
        return module if getattr(module, "stays_training", False) else module.eval()

    def check(self) -> snncc.Report:
        return snncc.check(self.make(), self.example, **self.options)

    @cached_property
    def marks(self) -> set[tuple[str, int]]:
        """(code, line) of each mark in the class."""
        lines = _lines()[self.cls.__name__]
        found = re.compile(r"# <- ((?:SNN\d{3} ?)+)")
        return {
            (code, number)
            for number, line in lines.items()
            if (mark := found.search(line))
            for code in mark[1].split()
        }

    @cached_property
    def codes(self) -> set[str]:
        return {code for code, _ in self.marks} | self.where.keys()


@cache
def _lines() -> Mapping[str, Mapping[int, str]]:
    """The lines of each class of this file by their number; `inspect` would parse it for each."""
    text = Path(__file__).read_text(encoding="utf-8")
    lines = dict(enumerate(text.splitlines(), 1))
    return {
        node.name: {n: lines[n] for n in range(node.lineno, (node.end_lineno or 0) + 1)}
        for node in ast.parse(text).body
        if isinstance(node, ast.ClassDef)
    }


WRONG: dict[str, Wrong] = {}


def spikes(*features: int, steps: int = STEPS) -> torch.Tensor:
    return (
        (torch.arange(steps * SAMPLES * torch.Size(features).numel()) % 3 == 0)
        .float()
        .reshape(steps, SAMPLES, *features)
    )


FLAT, IMAGE, TOKENS = spikes(8), spikes(2, 6, 6), spikes(5, 8)


def wrong(
    example: torch.Tensor = FLAT,
    *,
    where: Mapping[str, str] | None = None,
    needs: str = "",
    **options: Any,
) -> Callable[[type[nn.Module]], type[nn.Module]]:
    """Put a class into the table; its input is spikes unless ``input`` says otherwise."""

    def register(cls: type[nn.Module]) -> type[nn.Module]:
        name = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", cls.__name__).lower()
        given = {"input": "spike"} | options
        WRONG[name] = Wrong(name, cls, example, given, where or {}, needs)
        return cls

    return register


def spikingjelly_neurons() -> Any:
    try:
        from spikingjelly.activation_based import neuron
    except ImportError:
        from spikingjelly.clock_driven import neuron
    return neuron


class Flat(nn.Module):
    """Two layers of eight neurons."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(8, 8), nn.Linear(8, 8)
        self.sn1, self.sn2 = IF(), IF()


class Image(nn.Module):
    """Two convolutions with neurons."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = snncc.nn.OverTime(nn.Conv2d(2, 4, 3, padding=1))
        self.conv2 = snncc.nn.OverTime(nn.Conv2d(4, 4, 3, padding=1))
        self.sn1, self.sn2 = LIF(), LIF()


class Heads(nn.Module):
    """What attention reads, of tokens with eight features."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(8, 8) for _ in range(3))
        self.sn1, self.sn2 = IF(), IF()


# -- SNN1xx: not spike-only --------------------------------------------------------------------


@wrong(IMAGE)
class Relu(Image):
    def forward(self, x):
        x = self.sn1(self.conv1(x))
        x = torch.relu(self.conv2(x))  # <- SNN105
        return self.sn2(x)


@wrong()
class GeluBetweenNeurons(Flat):
    def forward(self, x):
        x = self.sn1(self.fc1(x))
        x = F.gelu(  # <- SNN105
            self.fc2(x),
            approximate="tanh",
        )
        return self.sn2(x)


@wrong()
class HalfConverted(nn.Module):
    """Two activations were forgotten: both are reported."""

    def __init__(self):
        super().__init__()
        self.fc1, self.fc2, self.fc3 = (nn.Linear(8, 8) for _ in range(3))
        self.sn1, self.sn2, self.sn3 = IF(), IF(), IF()
        self.act = nn.Sigmoid()

    def forward(self, x):
        x = self.sn1(self.fc1(x))
        x = self.sn2(self.act(self.fc2(x)))  # <- SNN105
        x = F.silu(self.fc3(x))  # <- SNN105
        return self.sn3(x)


@wrong()
class AnalogShortcut(Flat):
    def forward(self, x):
        s = self.sn1(self.fc1(x))
        shortcut = torch.tanh(self.fc2(s))  # <- SNN105
        return self.sn2(s + shortcut)


@wrong(IMAGE)
class AnalogBlocks(nn.Module):
    """An activation behind a layer that reads an analog value is wrong on its own."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2, self.conv3 = (
            snncc.nn.OverTime(nn.Conv2d(2, 2, 3, padding=1)) for _ in range(3)
        )
        self.sn1, self.sn2 = IF(), IF()

    def forward(self, x):
        s = self.sn1(self.conv1(x))
        a = torch.relu(self.conv2(s))  # <- SNN105
        b = torch.relu(a + self.conv3(a))  # <- SNN105
        return self.sn2(b)


@wrong(input="analog", strict=True)
class AnalogInputAdded(nn.Module):
    """The image itself is added to spikes, and a layer reads the sum."""

    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(8, 8), nn.Linear(8, 8)
        self.sn1, self.sn2 = IF(), IF()

    def forward(self, x):
        s = self.sn1(self.fc1(x))  # <- SNN101
        s = s + x  # <- SNN102
        return self.sn2(self.fc2(s))


@wrong(input="analog")
class AnalogInputAddedByAnEncoder(nn.Module):
    """The same, where the host may compute the analog half."""

    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(8, 8), nn.Linear(8, 8)
        self.sn1, self.sn2 = IF(), IF()

    def forward(self, x):
        s = self.sn1(self.fc1(x))  # <- SNN501
        s = s + x
        return self.sn2(self.fc2(s))  # <- SNN501


@wrong(input="analog", strict=True)
class AnalogStem(Flat):
    def forward(self, x):
        x = self.sn1(self.fc1(x))  # <- SNN101
        return self.sn2(self.fc2(x))


@wrong()
class Gated(Flat):
    def forward(self, x):
        s = self.sn1(x)
        return self.sn2(self.fc1(s) * self.fc2(s))  # <- SNN103


@wrong()
class Squared(Flat):
    def forward(self, x):
        s = self.sn1(self.fc1(x))
        return self.sn2(self.fc2(s).square())  # <- SNN103


@wrong()
class DividedByItself(Flat):
    def forward(self, x):
        current = self.fc1(self.sn1(x))
        scale = current.abs().sum(-1, keepdim=True)  # <- SNN108
        return self.sn2(current / scale)  # <- SNN103


@wrong(IMAGE)
class MaxPoolOnCurrents(Image):
    def forward(self, x):
        x = self.sn1(self.conv1(x))
        x = self.conv2(x)
        x = F.max_pool2d(x.flatten(0, 1), 2).unflatten(0, x.shape[:2])  # <- SNN104
        return self.sn2(x)


@wrong(IMAGE)
class GroupNorm(Image):
    def __init__(self):
        super().__init__()
        self.norm = nn.GroupNorm(2, 4)

    def forward(self, x):
        x = self.sn1(self.conv1(x))
        x = self.conv2(x)
        x = self.norm(x.flatten(0, 1)).unflatten(0, x.shape[:2])  # <- SNN106
        return self.sn2(x)


@wrong()
class LayerNorm(Flat):
    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(8)

    def forward(self, x):
        x = self.sn1(self.fc1(x))
        return self.sn2(self.norm(self.fc2(x)))  # <- SNN106


@wrong(IMAGE)
class InstanceNorm(Image):
    def __init__(self):
        super().__init__()
        self.norm = snncc.nn.OverTime(nn.InstanceNorm2d(4))

    def forward(self, x):
        x = self.sn1(self.conv1(x))
        return self.sn2(self.norm(self.conv2(x)))  # <- SNN106


@wrong(TOKENS, layout="TN")
class Attention(Heads):
    def forward(self, x):
        s = self.sn1(x)
        q, k, v = self.q(s), self.k(s), self.v(s)
        scores = q @ k.transpose(-2, -1)
        weights = torch.softmax(scores, -1)  # <- SNN107
        return self.sn2(weights @ v)


@wrong(TOKENS, layout="TN")
class FlashAttention(Heads):
    def forward(self, x):
        s = self.sn1(x)
        q, k, v = self.q(s), self.k(s), self.v(s)
        return self.sn2(F.scaled_dot_product_attention(q, k, v))  # <- SNN107


@wrong(TOKENS, layout="TN")
class MultiheadAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.sn1, self.sn2 = IF(), IF()

    def forward(self, x):
        s = self.sn1(x).flatten(0, 1)
        y, _ = self.attention(s, s, s)  # <- SNN107
        return self.sn2(y.unflatten(0, x.shape[:2]))


@wrong()
class Remainder(Flat):
    def forward(self, x):
        x = self.sn1(self.fc1(x))
        return self.sn2(self.fc2(x) % 0.5)  # <- SNN108


@wrong()
class WideCone(nn.Module):
    """A sigmoid of eight weighted spikes at once."""

    def __init__(self):
        super().__init__()
        self.sns = nn.ModuleList(IF(threshold=1 + i / 8) for i in range(8))
        self.sn = IF()

    def forward(self, x):
        total = sum(0.37**i * sn(x) for i, sn in enumerate(self.sns))
        return self.sn(torch.sigmoid(total))  # <- SNN109


class Noisy(IF):
    """A neuron of one's own: its charge is not that of IF."""

    def charge(self, v, x):
        return v + x.abs()


@wrong()
class NeuronWithoutExactForm(Flat):
    def __init__(self):
        super().__init__()
        self.sn2 = Noisy()

    def forward(self, x):
        x = self.sn1(self.fc1(x))
        return self.sn2(self.fc2(x))  # <- SNN110


@wrong(IMAGE)
class SquaredCount(Image):
    def forward(self, x):
        s = self.sn1(self.conv1(x))
        average = F.avg_pool2d(s.flatten(0, 1), 6).unflatten(0, s.shape[:2])
        return self.sn2(average**2)  # <- SNN111


@wrong()
class CentredOverTime(Flat):
    def forward(self, x):
        x = self.sn1(self.fc1(x))
        return self.sn2(self.fc2(x - x.mean(0, keepdim=True)))  # <- SNN112


@wrong()
class MeanOverTimeInside(Flat):
    def forward(self, x):
        x = self.sn1(self.fc1(x)).mean(0)
        return self.sn2(self.fc2(x).unsqueeze(0).repeat(4, 1, 1))  # <- SNN112


@wrong()
class Cumulative(Flat):
    def forward(self, x):
        x = self.sn1(self.fc1(x))
        return self.sn2(self.fc2(x.cumsum(0)))  # <- SNN112


@wrong()
class NeuronByHand(Flat):
    """A threshold with a memory of its own."""

    def forward(self, x):
        x, v, above, out = self.fc1(x), torch.zeros(1, 8), torch.ones(1, 8), []
        for current in x:
            v = v + current
            s = (v >= above).to(v.dtype)  # <- SNN115
            above = 0.5 * above + s
            v = v - s
            out.append(s)
        return self.sn2(self.fc2(torch.stack(out)))


@wrong()
class NoSpikes(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(8, 8), nn.Linear(8, 4)

    def forward(self, x):
        return self.fc2(self.fc1(x).relu()).mean(0)  # <- SNN113


@wrong()
class ReadsItsMembrane(nn.Module):
    """A leaky integrator whose membrane the next layer reads."""

    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(8, 8), nn.Linear(8, 8)
        self.lif, self.sn = snntorch.Leaky(0.9), IF()

    def forward(self, x):
        membranes = [self.lif(self.fc1(step))[1] for step in x]  # <- SNN404
        return self.sn(self.fc2(torch.stack(membranes)))  # <- SNN114


class Fires(torch.autograd.Function):
    @staticmethod
    def forward(ctx, u):
        return (u >= 0).to(u.dtype)


class Static(nn.Module):
    """The steps of a loop over one image."""

    steps = 6

    def __init__(self):
        super().__init__()
        self.fc, self.out = nn.Linear(8, 8), nn.Linear(8, 4)
        self.bns = nn.ModuleList(nn.BatchNorm1d(8) for _ in range(6))


STATIC = {"input": "analog", "layout": "N"}


@wrong(FLAT[0], **STATIC)
class TwoSteps(Static):
    steps = 2

    def forward(self, x):
        v = total = 0
        for _ in range(self.steps):
            v = 0.5 * v + self.fc(x)
            s = Fires.apply(v - 0.2)  # <- SNN318
            v = v - s
            total = total + self.out(s)
        return total


@wrong(FLAT[0], **STATIC)
class NormOfEachStep(Static):
    def forward(self, x):
        v = total = 0
        for t in range(self.steps):
            v = 0.5 * v + self.bns[t](self.fc(x))
            s = Fires.apply(v - 0.2)  # <- SNN318
            v = v - s
            total = total + self.out(s)
        return total


@wrong(FLAT[0], **STATIC)
class ReadBeforeTheEnd(Static):
    def forward(self, x):
        v, out = 0, []
        for _ in range(self.steps):
            v = 0.5 * v + self.fc(x)
            s = Fires.apply(v - 0.2)  # <- SNN318
            v = v - s
            out.append(self.out(s))
        return out[-1] + out[-3]


@wrong(FLAT[0], **STATIC)
class OtherFirstStep(Static):
    def forward(self, x):
        v = total = 0
        for t in range(self.steps):
            v = 0.5 * v + self.fc(x) + (3.7 if t == 0 else 0.2)
            s = Fires.apply(v - 0.2)  # <- SNN318
            v = v - s
            total = total + self.out(s)
        return total


@wrong()
class HeadsWithoutNeurons(Flat):
    """One cause is one finding."""

    def forward(self, x):
        x = self.fc1(x)
        y = self.fc2(x)  # <- SNN113
        return y, x, self.fc1(y)


@wrong()
class HeadsWithOneFault(Flat):
    def forward(self, x):
        x = self.sn1(torch.relu(self.fc1(x)))  # <- SNN105
        return self.fc1(x), self.fc2(x)


@wrong()
class EncoderInside(Flat):
    def forward(self, x):
        s = (torch.rand_like(x) < x).float()  # <- SNN301
        return self.sn2(self.fc2(self.sn1(self.fc1(s))))


@wrong(where={"SNN307": "fc1"})
class NoNumbersAtAll(Flat):
    def __init__(self):
        super().__init__()
        for parameter in self.parameters():
            parameter.data.fill_(float("nan"))

    def forward(self, x):
        return self.sn2(self.fc2(self.sn1(self.fc1(x))))


# -- SNN2xx: does not fit the target -----------------------------------------------------------


@wrong(needs="spikingjelly")
class LoopOfTwo(Flat):
    """What comes back is one step old, and the way takes two."""

    def __init__(self):
        super().__init__()
        self.back = nn.Linear(8, 8)
        self.sn1, self.sn2 = (spikingjelly_neurons().IFNode() for _ in range(2))

    def forward(self, x):
        b, out = torch.zeros_like(x[0]), []
        for x_t in x:
            a = self.sn1(self.fc1(x_t) + self.back(b))  # <- SNN211
            b = self.sn2(self.fc2(a))
            out.append(b)
        return torch.stack(out)


@wrong(stock_only=True)
class SoftReset(Flat):
    def __init__(self):
        super().__init__()
        self.sn2 = IF(reset="soft")

    def forward(self, x):
        x = self.sn1(self.fc1(x))
        return self.sn2(self.fc2(x))  # <- SNN213


@wrong(spikes(32, 64, 64, steps=1))
class TooManySynapses(nn.Module):
    """No kernel is the product of two padded ones: each of its synapses is written out."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(32, 32, 3, padding=1)
        self.conv2 = nn.Conv2d(32, 32, 3, padding=1)
        self.both = snncc.nn.OverTime(nn.Sequential(self.conv1, self.conv2))
        self.sn = IF()

    def forward(self, x):
        return self.sn(self.both(x))  # <- SNN203


# -- SNN4xx: auxiliary path --------------------------------------------------------------------


@wrong()
class LeakingAuxiliaryPath(Flat):
    def forward(self, x):
        s = self.sn1(self.fc1(x))
        a = torch.relu(self.fc2(s))
        o = self.sn2(s + 0.1 * a)  # <- SNN401
        return o.mean(0), a.mean(0)


@wrong()
class LeakAndMore(nn.Module):
    """An activation in the spike path alone is wrong whatever leaks."""

    def __init__(self):
        super().__init__()
        self.fc1, self.fc2, self.fc3 = (nn.Linear(8, 8) for _ in range(3))
        self.sn1, self.sn2, self.sn3 = IF(), IF(), IF()

    def forward(self, x):
        s = self.sn1(self.fc1(x))
        a = torch.relu(self.fc2(s))
        o = self.sn2(s + 0.1 * a)  # <- SNN401
        o = self.sn3(torch.tanh(self.fc3(o)))  # <- SNN105
        return o.mean(0), a.mean(0)


@wrong()
class MergedHeads(Flat):
    def forward(self, x):
        s = self.sn1(self.fc1(x))
        auxiliary = torch.relu(self.fc2(s))
        return (s + auxiliary).mean(0)  # <- SNN402


@wrong()
class TwoHeads(Flat):
    def forward(self, x):
        s = self.sn1(x)
        coarse = self.fc1(s).mean(0)  # <- SNN403
        return coarse, self.fc2(s).mean(0)


@wrong()
class AuxiliaryPath(Flat):
    """Nothing is wrong with it: what is cut off and which head is kept are notes."""

    def forward(self, x):
        s = self.sn1(self.fc1(x))
        a = torch.relu(self.fc2(s))  # <- SNN404
        return s.mean(0), a.mean(0)  # <- SNN504


# -- SNN5xx: notes -----------------------------------------------------------------------------


@wrong(input="analog")
class EncoderOnHost(Flat):
    def forward(self, x):
        x = self.sn1(self.fc1(x))  # <- SNN501
        return self.sn2(self.fc2(x))


@wrong(IMAGE)
class AddedSpikes(nn.Module):
    """A residual block that adds spikes: the sum goes to its readers term by term."""

    def __init__(self):
        super().__init__()
        self.conv = nn.ModuleList(
            snncc.nn.OverTime(nn.Conv2d(2, 2, 3, padding=1)) for _ in range(3)
        )
        self.sn = nn.ModuleList(IF() for _ in range(3))

    def forward(self, x):
        s = self.sn[0](self.conv[0](x))  # <- SNN507
        s = s + self.sn[1](self.conv[1](s))  # <- SNN502
        return self.sn[2](self.conv[2](s))


@wrong()
class LateSpikes(Flat):
    """One step late, where the target delays them."""

    def forward(self, x):
        first = self.sn1(self.fc1(x))  # <- SNN507
        second = self.sn2(self.fc2(first))
        return self.sn1(second + first)


@wrong(stock_only=True)
class LongSkip(nn.Module):
    """Eight neurons wait for a chain of single ones."""

    def __init__(self):
        super().__init__()
        self.sns = nn.ModuleList(IF(threshold=0.5) for _ in range(6))

    def forward(self, x):
        first = self.sns[0](x)  # <- SNN503 SNN505
        x = first[..., :1]
        for sn in self.sns[1:5]:
            x = sn(x)
        return self.sns[5](x + first)


# -- SNN3xx: cannot be read --------------------------------------------------------------------


@wrong()
class UnknownOp(Flat):
    def forward(self, x):
        x = self.sn1(self.fc1(x))
        return self.sn2(torch.special.bessel_j0(self.fc2(x)))  # <- SNN301


@wrong()
class SeveralUnknownOps(nn.Module):
    """What cannot be read does not hide what comes behind it."""

    def __init__(self):
        super().__init__()
        self.fc1, self.fc2, self.fc3 = (nn.Linear(8, 8) for _ in range(3))
        self.sn1, self.sn2, self.sn3 = IF(), IF(), IF()

    def forward(self, x):
        x = self.sn1(torch.special.bessel_j0(self.fc1(x)))  # <- SNN301
        x, _ = self.fc2(x).sort(-1)  # <- SNN301
        x = torch.relu(self.fc3(self.sn2(x)))  # <- SNN105
        return self.sn3(x.cumsum(0))  # <- SNN112


@wrong()
class BranchOnData(Flat):
    def forward(self, x):
        x = self.sn1(self.fc1(x))
        if x.sum() > 3:  # <- SNN302
            x = self.sn2(self.fc2(x))
        return x


@wrong()
class Item(Flat):
    def forward(self, x):
        x = self.sn1(self.fc1(x))
        scale = x.max().item()  # <- SNN302
        return self.sn2(self.fc2(x) / scale)


@wrong()
class ThroughNumpy(Flat):
    def forward(self, x):
        x = self.sn1(self.fc1(x))
        y = torch.from_numpy(x.numpy() * 2)  # <- SNN302
        return self.sn2(self.fc2(y))


@wrong()
class StepsOfTheirOwn(Flat):
    def forward(self, x):
        out = []
        for t in range(4):
            current = self.fc1(x[t])
            if t == 2:
                current = current + 1  # <- SNN318
            out.append(current)
        return self.sn1(torch.stack(out))


@wrong(FLAT[0], time_steps=4, needs="spikingjelly")
class StateSharedByCalls(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.sn = nn.Linear(8, 8), spikingjelly_neurons().IFNode()

    def forward(self, x):
        return self.sn(self.sn(self.fc(x)))  # <- SNN309


@wrong()
class StateNotPassedOn(nn.Module):
    """Each step starts from the state before the first one."""

    def __init__(self):
        super().__init__()
        self.fc, self.lif = nn.Linear(8, 8), snntorch.Leaky(0.9)

    def forward(self, x):
        start, out = self.lif.init_leaky(), []
        for step in x:
            s, _ = self.lif(self.fc(step), start)  # <- SNN309
            out.append(s)
        return torch.stack(out)


@wrong()
class NoTimeAxis(Flat):
    def forward(self, x):
        return self.sn1(self.fc1(x[0]))  # <- SNN306


@wrong()
class AnyOfIt(Flat):
    def forward(self, x):
        x = self.sn1(self.fc1(x))
        return self.sn2(x) if x.any() else x  # <- SNN302


class Strict(IF):
    """Registered below as what it is not: it fires above its threshold, not on it."""

    def forward(self, x):
        return super().forward(x - 1e-6)


snncc.register_neuron(
    Strict, lambda neuron: snncc.NeuronModule(snncc.Spiking(), multi_step=True, keeps_state=False)
)


@wrong()
class WronglyRegistered(Flat):
    def __init__(self):
        super().__init__()
        self.sn2 = Strict()

    def forward(self, x):
        x = self.sn1(self.fc1(x))
        return self.sn2(self.fc2(x))  # <- SNN319


@wrong(where={"SNN307": "fc2"})
class NotFinite(Flat):
    def __init__(self):
        super().__init__()
        self.fc2.weight.data[0, 0] = float("nan")

    def forward(self, x):
        return self.sn2(self.fc2(self.sn1(self.fc1(x))))


@wrong(IMAGE)
class TrainingMode(Image):
    stays_training = True

    def __init__(self):
        super().__init__()
        self.bn = snncc.nn.OverTime(nn.BatchNorm2d(4))

    def forward(self, x):
        return self.sn1(self.bn(self.conv1(x)))  # <- SNN308


@wrong()
class ActiveDropout(Flat):
    def forward(self, x):
        x = F.dropout(self.sn1(self.fc1(x)))  # <- SNN308
        return self.sn2(self.fc2(x))


@wrong()
class WritesSteps(Flat):
    def forward(self, x):
        x = self.sn1(self.fc1(x))
        x[0] = 0  # <- SNN310
        return self.sn2(self.fc2(x))


@wrong()
class WritesThroughView(Flat):
    def forward(self, x):
        x = self.sn1(self.fc1(x))
        x[:, :, :4].mul_(0.5)  # <- SNN310
        return self.sn2(self.fc2(x))


@wrong()
class WritesThroughData(Flat):
    def forward(self, x):
        x = self.sn1(self.fc1(x))
        x.data.mul_(0.5)  # <- SNN310
        return self.sn2(self.fc2(x))


_double = torch.jit.trace(lambda x: 2 * x, torch.zeros(1), check_trace=False)


@wrong()
class ScriptedFunction(Flat):
    def forward(self, x):
        x = self.sn1(self.fc1(x))
        return self.sn2(self.fc2(_double(x)))  # <- SNN311


@wrong()
class NeuronOfNothing(Flat):
    def forward(self, x):
        drive = self.sn2(torch.ones(4, 1, 8))  # <- SNN311
        return self.sn1(self.fc1(x) + drive)


@wrong()
class Raises(Flat):
    def forward(self, x):
        x = self.sn1(self.fc1(x))
        return self.sn2(self.fc2(x[..., :7]))  # <- SNN314


@wrong(where={"SNN314": "forward"})
class NoOutput(Flat):
    def forward(self, x):
        self.sn1(self.fc1(x))
        return torch.zeros(2, 8)


@wrong()
class Random(Flat):
    def forward(self, x):
        x = self.sn1(self.fc1(x))
        return self.sn2(self.fc2(x) + torch.randn(8))  # <- SNN315


@wrong()
class Counter(Flat):
    """Adds how often it was called, over all copies of it."""

    calls = 0

    def forward(self, x):
        Counter.calls += 1
        x = self.sn1(self.fc1(x))
        return self.sn2(self.fc2(x) + Counter.calls)  # <- SNN315


@wrong()
class HalfPrecision(Flat):
    def forward(self, x):
        x = self.sn1(self.fc1(x))
        return self.sn2(self.fc2(x).half().float())  # <- SNN301


@wrong()
class Sorted(Flat):
    def forward(self, x):
        x = self.sn1(self.fc1(x))
        values, _ = self.fc2(x).sort(-1)  # <- SNN301
        return self.sn2(values)


@wrong()
class LargestOfAll(Flat):
    def forward(self, x):
        x = self.sn1(self.fc1(x))
        largest = x.max()  # <- SNN301
        return self.sn2(self.fc2(x) / largest)


# -- more than one fault, all of them in one run ----------------------------------------------


class Six(nn.Module):
    """Layers and neurons for more than one fault."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.ModuleList(nn.Linear(8, 8) for _ in range(6))
        self.sn = nn.ModuleList(IF() for _ in range(6))


@wrong()
class NumbersTwice(Six):
    """What left as a number comes back, and what is behind it is still read."""

    def forward(self, x):
        x = self.sn[0](self.fc[0](x))
        scale = x.max().item()  # <- SNN302
        x = self.sn[1](torch.relu(self.fc[1](x)) * scale)  # <- SNN105
        y = torch.from_numpy(x.numpy())  # <- SNN302
        x = self.sn[2](self.fc[2](y))
        if x.any():  # <- SNN302
            x = self.sn[3](self.fc[3](x))
        return self.sn[4](torch.tanh(self.fc[4](x)))  # <- SNN105


@wrong()
class WritesAndMore(Six):
    def forward(self, x):
        x = self.sn[0](self.fc[0](x))
        y = self.fc[1](x)
        y.data += 1  # <- SNN310
        x = self.sn[1](y)
        y = self.fc[2](x)
        y[:, :, 3] = y[:, :, 2]  # <- SNN310
        x = self.sn[2](y.cumsum(0))  # <- SNN112
        return self.sn[3](torch.special.bessel_j0(self.fc[3](x)))  # <- SNN301


@wrong()
class ScriptedLayers(Six):
    """Both calls are seen from outside; what is inside of them is not."""

    def __init__(self):
        super().__init__()
        self.first = torch.jit.script(nn.Linear(8, 8))
        self.second = torch.jit.script(nn.Sequential(nn.Linear(8, 8), nn.ReLU()))

    def forward(self, x):
        x = self.sn[0](self.first(x))  # <- SNN311
        x = self.sn[1](torch.sigmoid(self.fc[0](x)))  # <- SNN105
        return self.sn[2](self.second(x))  # <- SNN311


@wrong()
class ScriptedAndNotCalled(Flat):
    def __init__(self):
        super().__init__()
        self.dead = torch.jit.script(nn.Linear(8, 8))

    def forward(self, x):
        return self.sn2(torch.relu(self.fc2(self.sn1(self.fc1(x)))))  # <- SNN105


@wrong()
class CompiledLayer(Flat):
    """torch.compile is undone while the network is read: its ops are ordinary ones."""

    def __init__(self):
        super().__init__()
        self.block = torch.compile(nn.Sequential(nn.Linear(8, 8), nn.ReLU()))

    def forward(self, x):
        x = self.sn1(self.fc1(x))
        return self.sn2(self.block(x))  # <- SNN105


@wrong()
class NeuronsWithoutExactForm(Six):
    """Behind a neuron that cannot be read come spikes."""

    def __init__(self):
        super().__init__()
        self.sn[0], self.sn[1] = Noisy(), Noisy()

    def forward(self, x):
        x = self.sn[0](self.fc[0](x))  # <- SNN110
        x = self.sn[1](self.fc[1](x))  # <- SNN110
        x = self.sn[2](torch.relu(self.fc[2](x)))  # <- SNN105
        return self.sn[3](self.fc[3](x) * self.fc[4](x))  # <- SNN103


@wrong()
class NumberAndScript(Six):
    """A scripted layer behind a number is no consequence of it."""

    def __init__(self):
        super().__init__()
        self.scripted = torch.jit.script(nn.Linear(8, 8))

    def forward(self, x):
        x = self.sn[0](self.fc[0](x))
        scale = x.max().item()  # <- SNN302
        x = self.sn[1](self.fc[1](x) * scale)
        return self.sn[2](self.scripted(x))  # <- SNN311


@wrong()
class Autocast(Six):
    """One finding for a block, and its ops are read as they are."""

    def forward(self, x):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            x = self.sn[0](self.fc[0](x))  # <- SNN301
            x = self.sn[1](torch.relu(self.fc[1](x)))  # <- SNN105
        x = self.sn[2](self.fc[2](x))
        with torch.autocast("cpu", dtype=torch.float16):
            return self.sn[3](self.fc[3](x))  # <- SNN301


@wrong()
class RoundedOnTheWay(Six):
    """Half precision in the middle: the layer itself is said to be half, and the run is not."""

    def __init__(self):
        super().__init__()
        self.fc[1].half()

    def forward(self, x):
        x = self.sn[0](self.fc[0](x))
        x = self.fc[1](x.half()).float()  # <- SNN301
        x = self.sn[1](x)
        return self.sn[2](torch.relu(self.fc[2](x)))  # <- SNN105


@wrong()
class WrittenElsewhere(Six):
    """Each write is one finding, where it was written and not where that is read."""

    def forward(self, x):
        y = self.fc[0](x)
        part = y[:, :, :4]
        part.mul_(2)  # <- SNN310
        x = self.sn[0](y)
        y = self.fc[1](x)
        first, _ = y.chunk(2, -1)
        first.zero_()  # <- SNN310
        x = self.sn[1](y)
        return self.sn[2](torch.relu(self.fc[2](x)))  # <- SNN105


@wrong()
class StepsWrittenInto(Flat):
    def forward(self, x):
        out = torch.zeros_like(x)
        for t in range(3):
            out[t] = self.fc1(x[t])  # <- SNN310
        return self.sn1(out)


@wrong()
class FeaturesWrittenInto(Flat):
    def forward(self, x):
        x = self.sn1(self.fc1(x))
        y = torch.empty_like(x)
        y[..., :4] = x[..., 4:]  # <- SNN310
        y[..., 4:] = x[..., :4]  # <- SNN310
        return self.sn2(self.fc2(y))


@wrong()
class OutIntoAView(Flat):
    """What the view's base holds is not the zeros that it was made of."""

    def forward(self, x):
        x = self.sn1(self.fc1(x))
        both = torch.zeros(2, *x.shape)
        torch.mul(x, 2, out=both[0])  # <- SNN310
        return self.sn2(self.fc2(x) + both[0])


@wrong()
class NormsInTraining(Six):
    stays_training = True

    def __init__(self):
        super().__init__()
        self.norms = nn.ModuleList(snncc.nn.OverTime(nn.BatchNorm1d(8)) for _ in range(2))

    def forward(self, x):
        x = self.sn[0](self.norms[0](self.fc[0](x)))  # <- SNN308
        x = self.sn[1](self.norms[1](self.fc[1](x)))  # <- SNN308
        return self.sn[2](torch.relu(self.fc[2](x)))  # <- SNN105


@wrong()
class NumberInTheLoop(Flat):
    """That the steps have other numbers follows from the number."""

    def forward(self, x):
        out = []
        for step in x:
            current = self.fc1(step)
            scale = current.max().item()  # <- SNN302
            out.append(self.fc2(current) * scale)
        return self.sn1(torch.stack(out))


@wrong(where={"SNN307": "fc2"})
class NoNumbers(Flat):
    """A weight that is no number, and an activation behind it."""

    def __init__(self):
        super().__init__()
        with torch.no_grad():
            self.fc2.bias[3] = float("nan")

    def forward(self, x):
        x = self.sn1(self.fc1(x))
        return self.sn2(torch.relu(self.fc2(x)))  # <- SNN105


@wrong(FLAT[0], time_steps=4, needs="spikingjelly")
class StateSharedAndMore(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(8, 8), nn.Linear(8, 8)
        self.sn1, self.sn2 = (spikingjelly_neurons().IFNode() for _ in range(2))

    def forward(self, x):
        x = self.sn1(self.sn1(self.fc1(x)))  # <- SNN309
        return self.sn2(torch.relu(self.fc2(x)))  # <- SNN105
