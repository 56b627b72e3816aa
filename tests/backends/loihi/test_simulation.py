"""Every spike of an emitted package against the reference, and what happens when it fails."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from all_sorts import TIMEOUT, Builder, agree, all_sorts, scheduled

from snncc.backends.loihi import emit
from snncc.backends.loihi.simulation import simulate
from snncc.diagnostics import SnnccError
from snncc.ir import Network, Neuron, Population, Projection, Readout, Ref, Source
from snncc.ir.interpreter import run_network
from snncc.ir.ops import Conv, Dense, Reshape
from snncc.ir.text import parse_network


@pytest.mark.parametrize(("seed", "steps"), [(0, 1), (0, 9), (1, 13), (2, 9)])
def test_every_spike_of_all_sorts_of_networks(lava, tmp_path, seed, steps):
    network, inputs = all_sorts(seed, steps, samples=5)
    found = agree(network, inputs, tmp_path / "loihi")
    active = [name for name, spikes in found.spikes.items() if 0 < spikes.mean() < 1]
    assert len(active) >= (len(found.spikes) - 4 if steps > 1 else 8)


def test_trained_numbers_need_no_rounding(lava, tmp_path):
    """Weights as training leaves them: sums differ in their last bits, spikes do not."""
    random = np.random.default_rng(0)
    shapes = {"a": (8, 2, 5, 5), "b": (8, 8, 3, 3), "c": (4, 200)}
    tensors = {name: random.standard_normal(shape) for name, shape in shapes.items()}
    tensors["d"] = random.uniform(0.3, 1.5, (8, 1, 1))
    text = """
    network trained {
      source %in [2,9,9] spike
      neuron %a [8,5,5] {decay=0.7310585786300049, threshold=@d, bias=0.1}
        %in -> %a > conv{weight=@a, stride=(2, 2), padding=(2, 2)}
      neuron %b [8,5,5] {threshold=@d, reset='soft', decay=0.9}
        %a -> %b > conv{weight=@b, padding=(1, 1)}
      gate %iand [8,5,5] {decay=0.0, threshold=1.0}
        %a -> %iand
        %b -> %iand > scale{factor=-1.0}
      readout %fc [4] {}
        %iand -> %fc > reshape{shape=(200,)} > dense{weight=@c}
      tensor @a float64 [8,2,5,5]
      tensor @b float64 [8,8,3,3]
      tensor @c float64 [4,200]
      tensor @d float64 [8,1,1]
    }"""
    network = scheduled(parse_network(text, tensors))
    inputs = {"in": torch.from_numpy(random.random((6, 5, 2, 9, 9)) < 0.3)}
    found = agree(network, inputs, tmp_path / "loihi", sums=1e-12)
    assert all(0.01 < found.spikes[name].mean() < 0.9 for name in ("a", "b", "iand"))


def test_it_says_how_far_it_is(lava, tmp_path):
    """On a thread that looks twice per second, so the run has to last."""
    network = scheduled(
        parse_network("""
    network far {
      source %in [3] spike
      neuron %a [3] {}
        %in -> %a
    }""")
    )
    heard = []
    emit(network, tmp_path / "loihi")
    inputs = {"in": torch.ones(10, 700, 3).double()}
    simulate(
        tmp_path / "loihi",
        network,
        inputs,
        timeout=TIMEOUT,
        on_step=lambda *said: heard.append(said),
    )
    steps = [done for done, _ in heard]
    assert steps == sorted(set(steps))
    assert len(steps) > 1
    assert {of for _, of in heard} == {7001}


VARIANTS = [
    Neuron(0.75, 1.0, 0.125, 0.5, "none"),
    Neuron(0.75, 0.5, 0.0, 0.0, "hard", 0.5),
    *[Neuron(d, 0.75, 0.125, 1.0, r, c, "next") for d in (0, 0.5) for r in ("hard", "soft")
      for c in (0, 0.25)],
    Neuron(0.5, 0.25, 0.0, 0.5, "soft", 0.0, "both"),
    Neuron(1.0, 0.5, -0.25, 0.0, "soft", 0.5, "both"),
    Neuron(0.75, 1.0, 0.125, 0.5, keep=0.25),
    Neuron(1.0, 1.0, 0.0, 1.5, "hard", 0.5, keep=-0.5),
    Neuron(0.75, 0.5, 0.125, 1.0, "hard", 0.25, "next", 0.5),
    Neuron(0.5, 0.5, 0.0, 0.0, "hard", 0.0, "next", Ref("kept")),
    Neuron(0.75, 1.0, current_decay=0.5, current_initial=1.5),
    Neuron(0.75, 1.0, 0.125, current_decay=0.5, current_initial=Ref("kept")),
]  # fmt: skip


def test_neurons_with_a_name_of_their_own(lava, tmp_path):
    random = np.random.default_rng(0)
    weight = random.integers(-4, 8, (6, 5)) / 8
    tensors = {"w": weight, "kept": np.linspace(-0.5, 1.0, 6)}
    places = [Source("in", (5,)), *[Population(f"n{i}", (6,), n) for i, n in enumerate(VARIANTS)]]
    wires = [Projection("in", place.name, (Dense(Ref("w")),)) for place in places[1:]]
    wires += [Projection(place.name, "sum") for place in places[1:]]
    network = scheduled(Network.build([*places, Readout("sum", (6,))], wires, tensors))
    inputs = {"in": torch.from_numpy(random.random((7, 5, 5)) < 0.4)}
    found = agree(network, inputs, tmp_path / "loihi")
    assert all(0.05 < found.spikes[p.name].mean() < 0.95 for p in places[1:])


def test_counts_many_groups_and_other_ranks(lava, tmp_path):
    """An input of counts, more groups than 8 bits hold, and convolutions over 1 and 3 axes."""
    b = Builder(7)

    def kernel(*size, stride, padding):
        return Conv(b.tensor(b.eighths(*size)), None, stride, padding, (1,) * len(stride))

    b.places["counts"] = Source("counts", (4, 3, 2), "count")
    b.grow("grouped", "counts", b.conv("counts", 264, 1, groups=4))
    b.grow("depthwise", "grouped", b.conv("grouped", 264, 2, padding=(1, 1), groups=264))
    b.grow("line", "counts", Reshape((4, 6)), kernel(3, 4, 3, stride=(2,), padding=(1,)))
    b.grow("along", "line", kernel(2, 3, 3, stride=(1,), padding=(1,)))
    b.grow("space", "counts", Reshape((2, 2, 3, 2)),
           kernel(3, 2, 2, 2, 2, stride=(1, 1, 1), padding=(0, 1, 0)))  # fmt: skip
    b.places["out"] = Readout("out", (5,), over_time="sum")
    b.wire("along", "out", Reshape((6,)), b.dense(6, 5))
    b.wire("depthwise", "out", Reshape((264 * 4 * 3,)), b.dense(264 * 4 * 3, 5))
    b.wire("counts", "grouped", b.conv("counts", 264, 1))
    network = scheduled(b.done())
    inputs = {"counts": torch.from_numpy(b.random.integers(0, 4, (3, 5, 4, 3, 2)))}
    found = agree(network, inputs, tmp_path / "loihi")
    assert all(0 < s.mean() < 1 for name, s in found.spikes.items() if name != "counts")


SMALL = """
network small steps=3 {
  source %in [2] @0 spike
  neuron %sn [2] @1 {reset='soft'}
    %in -> %sn > dense{weight=@w}
  readout %fc [2] @2 {over_time='last'}
    %sn -> %fc
  tensor @w float64 [2,2] = [[1.0, -1.0], [0.5, 0.5]]
}
"""


@pytest.fixture
def small(tmp_path):
    network = parse_network(SMALL)
    emit(network, tmp_path / "loihi")
    spikes = np.random.default_rng(0).random((3, 5, 2)) < 0.6
    return network, tmp_path / "loihi", {"in": torch.from_numpy(spikes)}


def by_hand(lava, folder, *arguments):
    return subprocess.run(
        [lava, "-B", "-m", folder.name, *map(str, arguments)],
        cwd=folder.parent, capture_output=True, text=True, timeout=TIMEOUT,
    )  # fmt: skip


def test_the_package_runs_by_hand_without_snncc(lava, small, tmp_path):
    network, folder, inputs = small
    np.savez(tmp_path / "in.npz", **{name: x.numpy() for name, x in inputs.items()})
    done = by_hand(lava, folder, "in.npz", "out.npz", "--limit", 3)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "3 samples of 3 steps in 11 steps of Lava\n"
    expected = run_network(network, {"in": inputs["in"][:, :3]})
    with np.load(tmp_path / "out.npz") as found:
        assert set(found) == {"spikes:sn", "outputs:fc", "logits:fc"}
        assert found["spikes:sn"].dtype == bool
        np.testing.assert_array_equal(found["spikes:sn"], expected.spikes["sn"])
        np.testing.assert_array_equal(found["outputs:fc"], expected.outputs["fc"])
        np.testing.assert_array_equal(found["logits:fc"], expected.logits["fc"])


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({}, "INPUT.npz lacks in"),
        ({"in": np.zeros((3, 5, 4))}, "in is (3, 5, 4) and should be (T, N, *(2,))"),
        ({"in": np.zeros((3, 0, 2))}, "the inputs hold [0] samples of [3] steps"),
    ],
)
def test_an_input_that_does_not_fit_is_one_sentence(lava, small, tmp_path, given, complaint):
    _, folder, _ = small
    np.savez(tmp_path / "in.npz", **given)
    done = by_hand(lava, folder, "in.npz", "out.npz")
    assert (done.returncode, done.stderr) == (1, f"{complaint}\n")
    assert not (tmp_path / "out.npz").exists()


def test_the_first_samples_only(lava, small):
    network, folder, inputs = small
    found = simulate(folder, network, inputs, timeout=TIMEOUT, samples=2)
    expected = run_network(network, inputs)
    assert torch.equal(found.spikes["sn"], expected.spikes["sn"][:, :2])
    assert found.spikes["in"].shape == (3, 2, 2)


def broken(folder, statement):
    """Let the neurons of the package run ``statement`` at step 4."""
    path = folder / "processes" / "neurons.py"
    start = "    def run_spk(self) -> None:\n"
    sabotage = (
        f"        if self.time_step == 4:\n            import os, time\n            {statement}\n"
    )
    path.write_text(path.read_text().replace(start, start + sabotage))


def lava_processes(folder):
    """Live processes that run this package."""
    found = []
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words, home = line.read_bytes().split(b"\0"), os.readlink(line.parent / "cwd")
        except OSError:
            continue
        if folder.name.encode() in words and home == str(folder.parent):
            found.append(line.parent.name)
    return found


@contextmanager
def shared_memory(folder):
    """The segments that processes of this package map meanwhile; other programs have theirs."""
    seen, done = set(), threading.Event()

    def look():
        while not done.wait(0.05):
            for process in lava_processes(folder):
                with suppress(OSError):
                    maps = Path("/proc", process, "maps").read_text()
                    seen.update(re.findall(r"/dev/shm/psm_\w+", maps))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield seen
    finally:
        done.set()
        watcher.join()


def test_the_fast_convolution_says_what_lavas_own_says(lava, tmp_path):
    """Bit for bit, with numbers as training leaves them: sums of whole rows may be in any order, so
    weights are multiples of 1/8."""
    b = Builder(5)
    b.places["counts"] = Source("counts", (4, 7, 6), "count")
    b.grow("strided", "counts", b.conv("counts", 6, 3, stride=(2, 1), padding=(1, 2)))
    b.grow("grouped", "strided", b.conv("strided", 6, 3, padding=(1, 1), groups=3))
    b.grow("dilated", "grouped", b.conv("grouped", 5, 2, dilation=(2, 1)))
    b.grow("deep", "strided", b.conv("strided", 6, 2, padding=(1, 1), groups=6))
    network = scheduled(b.done())
    folder = tmp_path / "loihi"
    emit(network, folder)
    np.savez(tmp_path / "in.npz", counts=b.random.integers(0, 4, (4, 3, 4, 7, 6)))
    said = []
    for name, arguments in (("fast", ()), ("slow", ("--lava-conv",))):
        done = by_hand(lava, folder, "in.npz", f"{name}.npz", *arguments)
        assert done.returncode == 0, done.stderr
        with np.load(tmp_path / f"{name}.npz") as found:
            said.append(dict(found))
    fast, slow = said
    assert set(fast) == set(slow) == {f"spikes:{p.name}" for p in network.populations}
    for name in fast:
        np.testing.assert_array_equal(fast[name], slow[name])
        assert 0 < fast[name].mean() < 1


@pytest.mark.parametrize(
    ("statement", "complaint"),
    [
        ("raise RuntimeError('a synapse broke')", "RuntimeError: a synapse broke"),
        ("os.kill(os.getpid(), 9)", "a Lava process ended with exit code -9"),
    ],
)
def test_a_process_that_dies_is_an_error_at_once(lava, small, statement, complaint):
    network, folder, inputs = small
    broken(folder, statement)
    started = time.monotonic()
    with (
        shared_memory(folder) as segments,
        pytest.raises(SnnccError, match="SNN314") as caught,
    ):
        simulate(folder, network, inputs, timeout=TIMEOUT)
    assert f"failed: {complaint}" in str(caught.value)
    assert time.monotonic() - started < 30
    assert lava_processes(folder) == []
    assert segments
    assert not [name for name in segments if Path(name).exists()]


def test_a_process_that_hangs_is_stopped_at_the_limit(lava, small):
    network, folder, inputs = small
    broken(folder, "time.sleep(600)")
    with pytest.raises(SnnccError, match=r"SNN317.*still running after 12 s and was stopped"):
        simulate(folder, network, inputs, timeout=12)
    assert lava_processes(folder) == []


ALONE = """
import signal
import sys
from pathlib import Path
import torch
from snncc.backends.loihi.simulation import simulate
from snncc.ir.text import parse_network
signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background ignores it
folder = Path(sys.argv[1])
inputs = {"in": torch.zeros(3, 5, 2)}
simulate(folder, parse_network(Path(sys.argv[2]).read_text()), inputs, timeout=300)
"""


@pytest.mark.parametrize("blow", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_whoever_ends_snncc_ends_lava(lava, small, tmp_path, blow):
    _, folder, _ = small
    broken(folder, "time.sleep(600)")
    contents = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    (tmp_path / "small.txt").write_text(SMALL)
    parent = subprocess.Popen(
        [sys.executable, "-c", ALONE, folder, tmp_path / "small.txt"], stderr=subprocess.DEVNULL
    )
    try:
        with shared_memory(folder) as segments:
            assert eventually(lambda: len(lava_processes(folder)) > 3 and segments, seconds=60)
            parent.send_signal(blow)
            parent.wait(30)
            assert eventually(lambda: not lava_processes(folder), seconds=30)
    finally:
        parent.kill()
    assert segments
    assert not [name for name in segments if Path(name).exists()]
    assert contents == {path: path.read_bytes() for path in contents}


def eventually(is_so, seconds):
    deadline = time.monotonic() + seconds
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.2)
    return is_so()


def test_without_lava_the_error_says_so(small, monkeypatch, tmp_path):
    network, folder, inputs = small
    monkeypatch.setenv("SNNCC_LAVA_HOME", str(tmp_path / "nowhere"))
    with pytest.raises(SnnccError, match="SNN317: there is no Lava interpreter in"):
        simulate(folder, network, inputs, timeout=TIMEOUT)


def test_a_still_image_takes_the_networks_own_steps(lava, tmp_path):
    b = Builder(3)
    b.encoder("image", (3, 2, 2), "static")
    b.places["sn"] = Population("sn", (3, 2, 2), Neuron(bias=0.125))
    b.wire("image", "sn")
    b.places["fc"] = Readout("fc", (3, 2, 2))
    b.wire("sn", "fc")
    network = scheduled(b.done(time_steps=4))
    inputs = {"image.image": torch.from_numpy(b.eighths(5, 3, 2, 2))}
    found = agree(network, inputs, tmp_path / "loihi")
    assert found.spikes["sn"].shape == (4, 5, 3, 2, 2)
    assert 0 < found.spikes["sn"].mean() < 1


@pytest.mark.slow
def test_snncc_imports_no_lava():
    program = (
        "import sys, snncc.backends.loihi.simulation;"
        "print([name for name in sys.modules if name.startswith('lava')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "[]\n"
