"""Random fixed networks, drawn from everything that populations and projections can be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from all_sorts import Builder
from random_networks import draw

import snncc
from snncc.ir import Network, Neuron, Population, Readout, Source
from snncc.ir.interpreter import Value
from snncc.ir.network import Shape
from snncc.ir.ops import Op, Pad, Pool, Reshape, Scale
from snncc.passes.balance_delays import BalanceDelays
from snncc.passes.quantize import Quantize
from snncc.passes.realise_projections import RealiseProjections

MAP: Shape = (4, 4, 3)
"""What most populations are, so that any may hear any other."""

HOSTS = ("still", "moving")
LATE = {"late": ("hard", "next"), "late soft": ("soft", "next"), "twice": ("soft", "both"),
        "never": ("none", "now")}  # fmt: skip


def fixed(
    network: Network,
    calibration: Mapping[str, Value] | None = None,
    thresholds: str = "channel",
    delays: int = 0,
) -> Network:
    """In whole numbers and scheduled, as the compiler does it."""
    form = network
    for each in (RealiseProjections(), Quantize(8, thresholds, calibration), BalanceDelays(delays)):
        outcome = each(form)
        assert outcome.ok, outcome.findings
        assert isinstance(outcome.form, Network)
        form = outcome.form
    return form


class Drawing(Builder):
    """A network that grows block by block; ``maps`` are its populations of shape MAP.

    With ``one_threshold`` thresholds differ by channel at most.
    """

    def __init__(self, seed: int, one_threshold: bool) -> None:
        super().__init__(seed)
        self._one_threshold = one_threshold
        self.maps: list[str] = []
        kind = self.choose("spike", "spike", "count")
        self.places["events"] = Source("events", (2, 7, 6), kind)
        for name in HOSTS[: self.choose(0, 1, 2)]:
            self.encoder(name, MAP, "static" if name == "still" else "step")

    @property
    def hosts(self) -> list[str]:
        return [name for name in HOSTS if name in self.places]

    def new(self) -> str:
        return f"p{len(self.places)}"

    def neuron(self, shape: Shape) -> Neuron:
        known = super().neuron(shape)
        size = (shape[0], *[1] * (len(shape) - 1))
        if self._one_threshold and known.is_memoryless is False:
            known = replace(known, threshold=self.tensor(self.eighths(*size, low=3, high=10)))
        kind = self.choose("plain", "plain", "plain", "current", "current", *LATE)
        if kind == "current":
            decay = self.choose(0.5, 0.75, self.tensor(self.eighths(*size, low=1, high=8)))
            return replace(known, current_decay=decay)
        if kind in LATE:
            reset, when = LATE[kind]
            return replace(known, reset=reset, when=when)
        return known

    def block(self) -> None:
        """One more part of the network."""
        a, b = self.choose(*self.maps), self.choose(*self.maps)
        name = self.new()
        match self.choose("skip", "gate", "levels", "loop", "pool", "concat", "host"):
            case "skip":
                self.grow(name, a, self.any_conv(a))
                self.wire(b, name, self.any_scale())
                if self.choose(True, False):
                    self.wire(b, name, self.any_conv(b), self.any_scale())
            case "gate":
                weight = self.choose(1.0, -1.0)
                self.gate(name, self.choose(1.0, weight + 1), (a, 1.0), (b, weight))
            case "levels":
                self.levels(name, a, b)
                return
            case "loop":
                self.grow(name, a, self.any_conv(a))
                self.wire(name, name, self.any_conv(a), delay=self.choose(1, 2))
                if self.choose(True, False):
                    back = self.new()
                    self.grow(back, name, self.any_conv(name))
                    self.wire(back, name, self.any_scale(), delay=self.choose(2, 3))
                    self.maps.append(back)
            case "pool":
                kind = self.choose("average", "sum")
                self.grow(name, a, Pool(kind, (2, 2), (1, 1), (1, 1)), Pool(kind, (2, 2), (1, 1)))
                self.wire(b, name, self.any_scale())
            case "concat":
                both = f"{name}.both"
                self.grow(both, a, Pad(((0, 4), (0, 0), (0, 0))))
                self.wire(b, both, Pad(((4, 0), (0, 0), (0, 0))))
                self.grow(name, both, self.conv(both, 4, 3, padding=(1, 1), groups=2))
            case "host":
                self.grow(name, a, self.any_conv(a))
                for host in self.hosts:
                    self.wire(host, name, self.any_scale())
        self.maps.append(name)

    def levels(self, name: str, source: str, beside: str) -> None:
        """Neurons of several levels on one current (MLF): who hears them hears their sum."""
        conv = self.any_conv(source)
        neuron = Neuron(self.choose(1.0, 0.5), 1.0, reset=self.choose("hard", "soft"))
        reader = f"{name}.reader"
        self.grow(reader, beside, self.any_conv(beside))
        for level in range(1, self.choose(3, 4)):
            each = f"{name}.{level}"
            self.places[each] = Population(each, MAP, replace(neuron, threshold=0.75 * level))
            self.wire(source, each, conv)
            self.wire(each, reader, Scale(0.5))
            self.maps.append(each)
        self.maps.append(reader)

    def any_conv(self, source: str) -> Op:
        more = self.choose(
            {"padding": (1, 1)}, {"padding": (1, 1), "groups": 2}, {"padding": (2, 2),
            "dilation": (2, 2), "groups": 4},
        )  # fmt: skip
        return self.conv(source, 4, 3, **more)

    def any_scale(self) -> Scale:
        sizes = (
            self.choose((), (4, 1, 1)) if self._one_threshold else self.choose((), (4, 1, 1), MAP)
        )
        values = self.eighths(*sizes)
        return Scale(self.tensor(values) if sizes else float(values))


def drawn(seed: int, steps: int | None = None) -> tuple[Network, dict[str, Value], Network]:
    """A network drawn with ``seed``, scheduled and in whole numbers; inputs for it; and the float
    network it was. Every second is calibrated, every third has one threshold per layer, every fifth
    relays in the place of delays. Without ``steps`` their number is drawn."""
    b = Drawing(seed, one_threshold=not seed % 3)
    strided = b.conv("events", 4, 3, stride=(2, 2), padding=(1, 1), groups=b.choose(1, 2))
    b.grow("stem", "events", strided)
    b.maps.append("stem")
    if b.choose(True, False):
        b.wire("events", "stem", strided, delay=1)
    for host in b.hosts:
        lit = f"lit.{host}"
        b.grow(lit, host, Scale(0.5))
        b.maps.append(lit)
    for _ in range(b.choose(2, 3, 4)):
        b.block()
    last = b.maps[-1]
    b.grow("class", last, Reshape((48,)), b.dense(48, 6))
    if b.choose(True, False):
        b.wire("class", "class", b.dense(6, 6), delay=1)
    b.places["logits"] = Readout("logits", (6,), b.tensor(b.eighths(6)), b.choose("mean", "none"))
    b.wire("class", "logits", b.dense(6, 6), delay=b.choose(0, 0, 1))
    b.wire(last, "logits", Reshape((48,)), b.dense(48, 6))
    network = b.done()
    steps = steps or int(b.random.integers(1, 7))
    calibration = data(b, steps, 4) if seed % 2 else None
    form = fixed(network, calibration, "channel" if seed % 3 else "layer", 62 if seed % 5 else 0)
    return form, data(b, steps, 3), network


def data(b: Drawing, steps: int, samples: int) -> dict[str, Value]:
    """Spikes or counts, and images: one per sample, or one per step and sample."""
    events, size = b.places["events"], (steps, samples, 2, 7, 6)
    found = {
        "events": b.random.random(size) < 0.4
        if events.kind == "spike"
        else b.random.poisson(0.7, size)
    }
    for host in b.hosts:
        lead = (samples,) if host == "still" else (steps, samples)
        found[f"{host}.image"] = b.eighths(*lead, *MAP)
    return {name: torch.from_numpy(x) for name, x in found.items()}


def generated(seed: int) -> tuple[Network, dict[str, Value]]:
    """A random module of torch through the whole compiler, every second one calibrated."""
    sample = draw(seed, 8)
    program = snncc.compile(
        sample.module, sample.example, "loihi", input=sample.kind, layout=sample.layout,
        weight_bits=8, verify=False, calibration=sample.inputs if seed % 2 else None,
    )  # fmt: skip
    assert program.scheduled is not None
    return program.scheduled, program.arrange(sample.inputs)
