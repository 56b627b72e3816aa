"""The whole-number interpreter against Lava's own fixed-point models: every spike, u and v."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch

from snncc.backends.loihi import interpreter
from snncc.ir.interpreter import run_network
from snncc.ir.interpreter.fixed import gather, run_fixed
from snncc.ir.interpreter.fixed_cell import FixedCell, WholeStore
from snncc.ir.network import FixedNeuron, Network, Population, Projection, Ref, Source
from snncc.ir.ops import Conv, Dense, Op, Reshape, Sparse
from snncc.ir.shapes import output_shape
from snncc.ir.text import parse_network

SCRIPT = Path(__file__).parent / "on_lava" / "fixed_point.py"
TIMEOUT = 120


@dataclass
class Case:
    """One population and what flows into it, and both sides' view of it."""

    neuron: FixedNeuron
    shape: tuple[int, ...]
    tensors: dict[str, np.ndarray]
    projections: list[tuple[np.ndarray, Op | None]]
    """What a source sends, (T, *shape), and the synapses; None: straight into the neurons."""
    anew: tuple[int, int] | None = None
    wraps: int = field(default=0)
    saturations: int = field(default=0)

    @property
    def steps(self) -> int:
        return len(self.projections[0][0])

    # -- ours ----------------------------------------------------------------------------------

    def network(self) -> Network:
        wires = [(i, given, op) for i, (given, op) in enumerate(self.projections) if op is not None]
        places = [Source(f"x{i}", given.shape[1:], "count") for i, given, _ in wires]
        flat = [
            (Reshape((given[0].size,)),) if isinstance(op, Dense) and given.ndim > 2 else ()
            for _, given, op in wires
        ]
        return Network.build(
            [*places, Population("n", self.shape, self.neuron)],
            [Projection(f"x{i}", "n", (*f, op)) for (i, _, op), f in zip(wires, flat, strict=True)],
            self.tensors,
        )

    def ours(self) -> dict[str, np.ndarray]:
        """s, u and v of every step; a synapse takes one, so that step 0 hears nothing of it."""
        network = self.network()
        store = WholeStore.of(network)
        sent = {f"x{i}": torch.from_numpy(given)[:, None].double()
                for i, (given, op) in enumerate(self.projections) if op is not None}  # fmt: skip
        a = torch.zeros(self.steps, 1, *self.shape, dtype=torch.int64)
        if sent:
            sums, wraps = gather(network, "n", sent, {}, store)
            a[1:] += sums[:-1]
            self.wraps += wraps
        for given, op in self.projections:
            if op is None:
                a += torch.from_numpy(given)[:, None]
        found: dict[str, list[np.ndarray]] = {"s": [], "u": [], "v": []}
        cell = FixedCell(self.neuron, a.shape[1:], store)
        for t, each in enumerate(a, 1):
            if self.anew and t % self.anew[0] == self.anew[1] % self.anew[0]:
                self.count(cell)
                cell = FixedCell(self.neuron, a.shape[1:], store)
            spikes, _ = cell(each)
            for key, value in (("s", spikes), ("u", cell.u), ("v", cell.v)):
                found[key].append(value[0].numpy())
        self.count(cell)
        return {key: np.stack(values).astype(np.int64) for key, values in found.items()}

    def count(self, cell: FixedCell) -> None:
        self.wraps += cell.wraps
        self.saturations += cell.saturations

    # -- Lava's --------------------------------------------------------------------------------

    def lavas(self, number: int) -> tuple[dict, dict[str, np.ndarray]]:
        """What the script reads; Lava's axes are channel last."""
        arrays = {}
        for name in ("vth", "du", "dv", "bias_mant", "bias_exp"):
            value = getattr(self.neuron, name)
            if isinstance(value, Ref):
                value = channel_last(np.broadcast_to(self.tensors[value], self.shape))
            elif name.startswith("bias"):
                value = np.full(channel_last_shape(self.shape), value)
            arrays[f"{number}:{name}"] = np.asarray(value)
        settings: list[dict | None] = []
        for i, (given, op) in enumerate(self.projections):
            arrays[f"{number}:{i}/given"] = channel_last(given, 1).astype(np.int32)
            settings.append(None)
            if op is None:
                continue
            source, order = given.shape[1:], given[0].size
            position = channel_last(np.arange(order).reshape(source)).ravel()
            more: dict = {"bits": 24}
            match op:
                case Conv():
                    flipped = self.tensors[op.weight][:, :, ::-1, ::-1].transpose(0, 2, 3, 1)
                    arrays[f"{number}:{i}/weight"] = flipped
                    more |= {"kind": "conv", "input": channel_last_shape(source)}
                    more |= {key: getattr(op, key) for key in
                             ("stride", "padding", "dilation", "groups")}  # fmt: skip
                case Dense():
                    more["kind"] = "dense"
                    arrays[f"{number}:{i}/weight"] = self.tensors[op.weight][:, position]
                case Sparse():
                    more["kind"] = "sparse"
                    data, indices, indptr = (self.tensors[r] for r in op.refs())
                    matrix = np.zeros((len(indptr) - 1, order), np.int64)
                    for row in range(len(matrix)):
                        part = slice(indptr[row], indptr[row + 1])
                        matrix[row, indices[part]] = data[part]
                    target = np.arange(len(matrix)).reshape(self.shape)
                    arrays[f"{number}:{i}/weight"] = matrix[channel_last(target).ravel()][
                        :, position
                    ]
            settings[-1] = more
        return {
            "shape": channel_last_shape(self.shape),
            "steps": self.steps,
            "anew": self.anew,
            "soft": self.neuron.reset == "soft",
            "projections": settings,
        }, arrays


def channel_last(values: np.ndarray, first: int = 0) -> np.ndarray:
    return np.moveaxis(values, first, -1) if values.ndim > first else values


def channel_last_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (*shape[1:], *shape[:1])


def on_lava(cases: list[Case], folder: Path) -> list[dict[str, np.ndarray]]:
    """s, u and v of every case, with our axes."""
    described, arrays = [], {}
    for number, case in enumerate(cases):
        one, more = case.lavas(number)
        described.append(one)
        arrays |= more
    given, answers = folder / "in.npz", folder / "out.npz"
    np.savez(given, cases=np.array(json.dumps(described)), **arrays)
    done = interpreter.run([str(SCRIPT), str(given), str(answers)], timeout=TIMEOUT)
    assert done.returncode == 0, done.stderr
    with np.load(answers) as file:
        return [
            {key: np.moveaxis(file[f"{number}:{key}"], -1, 1) for key in "suv"}
            for number in range(len(cases))
        ]


# -- what flows ------------------------------------------------------------------------------------


def registers(random: np.random.Generator, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Numbers from all over the registers, the ends often."""

    def choose(*groups: np.ndarray) -> np.ndarray:
        return np.choose(random.integers(len(groups), size=shape), groups)

    def between(low: int, high: int) -> np.ndarray:
        return random.integers(low, high, shape, endpoint=True)

    same = np.full(shape, 0)
    return {
        "vth": choose(between(0, 300), between(0, 131071), same + 131071, between(1, 20)),
        "du": choose(same + 4095, same, between(0, 4095), between(3000, 4095)),
        "dv": choose(same, same + 4095, between(0, 4095), between(0, 200)),
        "bias_mant": choose(same, between(-4096, 4095), same - 4096, same + 4095),
        "bias_exp": between(0, 7),
    }


def fixed(names: dict[str, np.ndarray], **more) -> FixedNeuron:
    return FixedNeuron(**{name: Ref(name) for name in names}, **more)


def even(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return (2 * random.integers(-128, 128, shape)).astype(np.int16)


def currents(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """From a few units to far beyond what 24 bits hold, and to the ends of 32."""
    sizes = np.array([8, 300, 5_000, 130_000, 300_000, 1 << 25, (1 << 31) - 1])
    scale = sizes[random.choice(len(sizes), size=shape, p=[0.3, 0.3, 0.2, 0.1, 0.06, 0.02, 0.02])]
    anywhere = np.rint(random.uniform(-1, 1, shape) * scale).astype(np.int64)
    edges = random.choice((-1, 1), shape) * ((1 << 17) + random.integers(-1, 2, shape))
    return np.where(random.random(shape) < 0.02, edges, anywhere)


def single_neurons(seed: int, anew: tuple[int, int] | None = None, **more) -> Case:
    random = np.random.default_rng(seed)
    shape = (4, 15, 20)
    numbers = registers(random, shape)
    given = currents(random, (350, *shape))
    return Case(fixed(numbers, **more), shape, numbers, [(given, None)], anew)


def layer(seed: int, kind: str, most: int, anew: tuple[int, int] | None = None) -> Case:
    """A layer of ``kind``, sources that send up to ``most``, and a second projection beside it."""
    random = np.random.default_rng(seed)
    source, steps = (4, 7, 6), 60
    tensors: dict[str, np.ndarray] = {}
    op: Op
    if kind == "dense":
        tensors["w"], op, shape = even(random, (30, 168)), Dense(Ref("w")), (30,)
    elif kind == "sparse":
        matrix = even(random, (48, 168)) * (random.random((48, 168)) < 0.3)
        rows, columns = matrix.nonzero()
        tensors |= {"w": matrix[rows, columns], "i": columns,
                    "p": np.searchsorted(rows, np.arange(49))}  # fmt: skip
        shape = (3, 4, 4)
        op = Sparse(Ref("w"), Ref("i"), Ref("p"), shape)
    else:
        settings = {
            "conv": {"padding": (1, 1)},
            "strided": {"stride": (2, 3), "padding": (2, 1)},
            "grouped": {"groups": 2, "dilation": (2, 1), "padding": (0, 2)},
        }[kind]
        inside = 4 // settings.get("groups", 1)
        tensors["w"], op = even(random, (6, inside, 3, 2)), Conv(Ref("w"), **settings)
        shape = output_shape(op, (source,), tensors)
    numbers = registers(random, (shape[0], *[1] * (len(shape) - 1)))
    numbers["vth"] = random.integers(50, 600, numbers["vth"].shape)
    numbers["du"], numbers["dv"] = np.array(4095), np.array(random.choice([0, 100]))
    given = random.integers(0, most, (steps, *source), endpoint=True) * (
        random.random((steps, *source)) < 0.3
    )
    beside = random.integers(-50, 50, (steps, *shape))
    wires = [(given, op), (beside, None)]
    return Case(fixed(numbers), shape, tensors | numbers, wires, anew)


LAYERS = ("dense", "sparse", "conv", "strided", "grouped")


def test_every_spike_and_membrane_is_lavas(lava, tmp_path):
    cases = [
        single_neurons(0),
        single_neurons(1, (7, 3)),
        single_neurons(2, (1, 0)),
        single_neurons(3, (50, 1), reset="soft"),
        *(layer(10 + i, kind, 1, (9, 2)) for i, kind in enumerate(LAYERS)),
        *(layer(20 + i, kind, 1 << 16) for i, kind in enumerate(LAYERS)),
    ]
    neuron_steps = 0
    for case, lavas in zip(cases, on_lava(cases, tmp_path), strict=True):
        ours = case.ours()
        for key in "suv":
            np.testing.assert_array_equal(ours[key], lavas[key])
        neuron_steps += ours["s"].size
        assert 0.01 < ours["s"].mean() < 0.99
    assert neuron_steps > 1_000_000
    assert all(case.wraps and case.saturations for case in cases[:4])
    assert all(case.wraps for case in cases[9:])


# -- by hand ---------------------------------------------------------------------------------------

TEXT = """network tiny steps=3 {
  source %x [2] spike
  neuron %a [2] fixed{vth=@theta, dv=1024, bias_mant=-3, bias_exp=2} for %a  # m|f.py|3
    %x -> %a > dense{weight=@w}
  gate %g [2] fixed{vth=1, dv=4096}
    %x -> %g > scale{factor=2.0}
    %a -> %g > scale{factor=-2.0}
  readout %0 [2] {bias=0.5, over_time='sum', unit=0.25}
    %g -> %0 > scale{factor=4.0}
    %a -> %0 > scale{factor=2.0}
  tensor @theta int32 [2] = [20, 9]
  tensor @w int16 [2,2] = [[12, 10], [4, -6]]
}"""
X = torch.tensor([[1, 0], [1, 1], [0, 1]])[:, None].double()


def test_a_fixed_network_means_what_it_says():
    network = parse_network(TEXT)
    assert network.is_fixed
    run = run_network(network, {"x": X})
    # 768 - 12 = 756; then 756 * 3/4 = 567, + 1408 - 12 = 1963 > 1280: a spike, and 0 + 640 - 12.
    # 256 - 12 = 244; then 183 - 128 - 12 = 43; then 43 * 3/4 = 32.25, 32 - 384 - 12 = -364.
    np.testing.assert_array_equal(run.spikes["a"][:, 0], [[0, 0], [1, 0], [0, 0]])
    np.testing.assert_array_equal(run.spikes["g"][:, 0], [[1, 0], [0, 1], [0, 1]])
    np.testing.assert_array_equal(run.outputs["0"][:, 0], [[1.5, 0.5], [1, 1.5], [0.5, 1.5]])
    np.testing.assert_array_equal(run.logits["0"], [[3.0, 3.5]])
    assert not any(run.wraps.values())
    assert not any(run.saturations.values())


def test_states_are_shown_when_asked_for():
    seen = {}
    run_fixed(parse_network(TEXT), {"x": X}, on_state=seen.__setitem__)
    u, v = seen["a"]
    np.testing.assert_array_equal(u[:, 0, 0], [768, 1408, 640])
    np.testing.assert_array_equal(v[:, 0, 0], [756, 0, 628])
    assert seen["g"][1].shape == (3, 1, 2)  # without memory: all steps at once


def test_forced_spikes_are_compared_reset_and_passed_on():
    taught = torch.tensor([[0, 1], [0, 0], [0, 0]])[:, None]
    run = run_network(parse_network(TEXT), {"x": X}, forced={"a": taught})
    assert (run.compared, run.mismatches, dict(run.flips)) == (6, 3, {"a": 3})
    first, second, third = run.disagreements
    assert (first.index, first.membrane, first.threshold) == ((0, 0, 1), 244 / 64, 9)
    assert (second.index, second.membrane) == ((1, 0, 0), 1963 / 64)
    # Not reset: 1963 * 3/4 = 1472.25, 1472 + 640 - 12.
    assert (third.index, third.membrane, third.threshold) == ((2, 0, 0), 2100 / 64, 20)
    assert torch.equal(run.spikes["a"], taught.double())


LOOP = """network loop {
  source %x [3] count
  neuron %a [3] NEURON{THETA8}
    %x -> %a > dense{weight=@w}
    %a -> %a > dense{weight=@r} after 1
    %b -> %a > scale{factor=-2.0} after 2
  neuron %b [3] NEURON{THETA5}
    %a -> %b > dense{weight=@v}
  readout %0 [3] {}
    %b -> %0 > scale{factor=2.0}
  tensor @w float64 [3,3]
  tensor @r float64 [3,3]
  tensor @v float64 [3,3]
}"""


def test_populations_that_feed_back():
    random = np.random.default_rng(0)
    tensors = {name: (2 * random.integers(-2, 5, (3, 3))).astype(float) for name in "wrv"}
    network = parse_network(LOOP.replace("NEURON", "fixed").replace("THETA", "vth="), tensors)
    # With whole weights v > 8 is v >= 9.
    floating = LOOP.replace("NEURON", "").replace("THETA8", "threshold=9.0")
    floating = parse_network(floating.replace("THETA5", "threshold=6.0"), tensors)
    x = torch.from_numpy(random.integers(0, 3, (9, 40, 3))).double()
    ours, known = run_network(network, {"x": x}), run_network(floating, {"x": x})
    for name in ("a", "b"):
        assert torch.equal(ours.spikes[name], known.spikes[name])
        assert 0.1 < float(known.spikes[name].mean()) < 0.9
    assert torch.equal(ours.outputs["0"], known.outputs["0"])
    taught = {"a": (torch.rand(9, 40, 3) < 0.5).double()}
    ours, known = (run_network(n, {"x": x}, forced=taught) for n in (network, floating))
    assert torch.equal(ours.spikes["b"], known.spikes["b"])
    assert ours.mismatches == known.mismatches > 0


def test_what_wraps_in_a_loop_is_counted():
    text = """network loop {
      source %x [1,1,1] count
      neuron %a [1,1,1] fixed{vth=0}
        %x -> %a > scale{factor=2.0}
        %a -> %a > conv{weight=@r} after 1
        %c -> %a > scale{factor=254.0} after 1
      neuron %c [1,1,1] fixed{vth=131071, bias_mant=4095, bias_exp=7, reset='none'}
        %a -> %c > scale{factor=254.0}
      tensor @r int16 [1,1,1,1]
    }"""
    network = parse_network(text, {"r": np.full((1, 1, 1, 1), 254, np.int16)})
    x = torch.zeros(40, 1, 1, 1, 1)
    x[0] = 150_000  # 64 * 300,000 wraps once
    run = run_network(network, {"x": x})
    # 524,160 a step: the sixteenth is at 2^23, held at 2^23 - 1, which is above 64 * 131,071.
    assert run.wraps["a"] == 1
    assert run.saturations == {"a": 0, "c": 25}


def test_what_overflows_is_counted():
    text = TEXT.replace("steps=3", "").replace("spike", "count")
    run = run_network(parse_network(text), {"x": torch.tensor([[[30_000, 0]], [[30_000, 0]]])})
    # 12 * 30,000 * 64 = 23,040,000 leaves 2^23 and wraps to 6,262,784; 4 * 30,000 * 64 does not.
    assert run.wraps == {"a": 2, "g": 0, "0": 0}
    assert run.saturations == {"a": 0, "g": 0}
    slow = parse_network(text.replace("[20, 9]", "[131071, 131071]"))
    # Below threshold both stay, and the second step holds both at 2^23 - 1.
    assert run_network(slow, {"x": torch.tensor([[[30_000, 0]]] * 2)}).saturations["a"] == 2


def test_currents_from_the_host_are_rounded():
    text = """network t steps=1 {
      encoder %e [4] static
        graph g {
          %image = input{kind='analog'} : static [4] real
          head current = %image
        }
      neuron %a [4] fixed{vth=2}
        %e -> %a > scale{factor=2.0}
    }"""
    image = torch.tensor([[0.74, 1.25, 1.26, 1.75]])
    run = run_network(parse_network(text), {"image": image}, steps=2)
    # 1.48, 2.5, 2.52 and 3.5 become 1, 2, 3 and 4; a spike is above 2.
    np.testing.assert_array_equal(run.spikes["a"][:, 0], [[0, 0, 1, 1], [0, 1, 1, 1]])


def stepped(neuron: FixedNeuron, inputs: list[int]) -> tuple[list[int], list[int]]:
    """Spikes, and u and v after each step, of one neuron."""
    network = Network.build([Population("n", (1,), neuron)], [], {})
    cell = FixedCell(neuron, (1, 1), WholeStore.of(network))
    spikes, states = [], []
    for a in inputs:
        s, _ = cell(torch.tensor([[a]]))
        spikes.append(int(s))
        states.append((int(cell.u), int(cell.v)))
    return spikes, states


@pytest.mark.parametrize(
    ("neuron", "inputs", "spikes", "states"),
    [
        # A late hard reset takes the next step's input with it.
        (FixedNeuron(2, when="next"), [3, 3, 2, 1], [1, 0, 0, 1],
         [(192, 192), (192, 0), (128, 128), (64, 192)]),
        (FixedNeuron(2, reset="soft", when="next"), [5, 0, 0], [1, 1, 0],
         [(320, 320), (0, 192), (0, 64)]),
        # Late, then taken back: 192 - 128 fires not, and the late reset is undone.
        (FixedNeuron(2, reset="soft", when="both"), [5, 0, 1], [1, 0, 0],
         [(320, 192), (0, 192), (64, 256)]),
        (FixedNeuron(2, reset="soft"), [5, 0, 0], [1, 1, 0], [(320, 192), (0, 64), (0, 64)]),
        (FixedNeuron(2, reset="none"), [5, 0, -5], [1, 1, 0], [(320, 320), (0, 320), (-320, 0)]),
        (FixedNeuron(2, initial=100), [1, 0], [1, 0], [(64, 0), (0, 0)]),
        (FixedNeuron(9, du=2047, bias_mant=1, bias_into="current"), [1, 0], [0, 0],
         [(128, 128), (128, 256)]),
        (FixedNeuron(9, du=2047, bias_mant=1), [1, 0], [0, 0], [(64, 128), (32, 224)]),
        # A decay of 4095 leaves a 4096th, toward zero; one of 4096 nothing.
        (FixedNeuron(999, dv=4095), [64, 0, -65, 0], [0, 0, 0, 0],
         [(4096, 4096), (0, 1), (-4160, -4160), (0, -1)]),
        (FixedNeuron(999, dv=4096), [64, 0], [0, 0], [(4096, 4096), (0, 0)]),
    ],
)  # fmt: skip
def test_every_kind_of_neuron_by_hand(neuron, inputs, spikes, states):
    assert stepped(neuron, inputs) == (spikes, states)


def test_a_neuron_without_memory_is_run_all_steps_at_once():
    text = "network t {\n source %x [3] count\n neuron %a [3] fixed{vth=4, dv=4096, bias_mant=1}\n"
    network = parse_network(text + "  %x -> %a > scale{factor=2.0}\n}")
    x = torch.randint(0, 5, (6, 4, 3)).double()
    assert torch.equal(run_network(network, {"x": x}).spikes["a"], (2 * x + 1 > 4).double())


def test_samples_do_not_meet():
    random = np.random.default_rng(0)
    case = layer(0, "conv", 1)
    x = torch.from_numpy(random.random((5, 3, 4, 7, 6)) < 0.4)
    together = run_network(case.network(), {"x0": x}).spikes["n"]
    for n in range(3):
        alone = run_network(case.network(), {"x0": x[:, n : n + 1]}).spikes["n"]
        assert torch.equal(alone, together[:, n : n + 1])
