"""The text of an emitted package: what it says, and what it refuses to be made from."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from snncc.backends.loihi import emit
from snncc.diagnostics import SnnccError
from snncc.ir import Network, Neuron, Population, Projection, Readout, Ref, Source
from snncc.ir.ops import Conv, Dense
from snncc.ir.text import parse_network
from snncc.passes.balance_delays import BalanceDelays

RESIDUAL = """
network block steps=4 {
  source %in [2,3,3] @0 spike
  neuron %layer1.sn [2,3,3] @1 {threshold=@theta} for %sn_4  # layer1.sn|net.py|12
    %in -> %layer1.sn > conv{weight=@w, padding=(1, 1)}
  relay %in@+1 [2,3,3] @1 {decay=0.0} for %in
    %in -> %in@+1
  gate %and [2,3,3] @2 {decay=0.0, threshold=2.0}
    %layer1.sn -> %and
    %in@+1 -> %and
  neuron %soft [2,3,3] @2 {reset='soft', decay=0.5}
    %layer1.sn -> %soft > scale{factor=-1.0}
  readout %fc [1] @3 {bias=0.5}
    %and -> %fc > reshape{shape=(18,)} > dense{weight=@fc}
    %soft -> %fc > reshape{shape=(18,)} > dense{weight=@fc}
  tensor @w float64 [2,2,3,3] = WEIGHTS
  tensor @theta float64 [2,1,1] = [[[1.0]], [[0.5]]]
  tensor @fc float64 [1,18] = FC
}
""".replace("WEIGHTS", str(np.arange(36.0).reshape(2, 2, 3, 3).tolist())).replace(
    "FC", str([list(map(float, range(18)))])
)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "loihi"


def squashed(text):
    return "".join(text.split())


def test_a_population_and_a_projection_are_one_statement_each(folder):
    emit(parse_network(RESIDUAL), folder)
    text = (folder / "network.py").read_text()
    for statement in (
        """
        # neuron layer1.sn, level 1, for sn_4
        # layer1.sn (net.py:12)
        layer1_sn = LIFReset(
            shape=(3, 3, 2),
            vth=just_below(per_neuron(a['layer1.sn:threshold'], (3, 3, 2))),
            du=1,
            dv=0.0,
            reset_interval=period,
            reset_offset=2,
        )
        connect(in_, Conv(weight=a['w:conv'], input_shape=(3, 3, 2), padding=(1, 1)),
                layer1_sn.a_in)
        """,
        """
        # relay in@+1, level 1, for in
        in_relay1 = LIF(shape=(3, 3, 2), vth=half_below(1.0), du=1, dv=1.0)
        connect(in_, Sparse(weights=identity(18)), in_relay1.a_in)
        """,
        """
        # gate and, level 2
        and_ = LIF(shape=(3, 3, 2), vth=half_below(2.0), du=1, dv=1.0)
        connect(layer1_sn, Sparse(weights=identity(18)), and_.a_in)
        connect(in_relay1, Sparse(weights=identity(18)), and_.a_in)
        join(and_.s_out, recorder.and__spikes)
        """,
        """
        soft = NormalFormLIF(
            shape=(3, 3, 2),
            decay=0.5,
            threshold=1.0,
            bias=0.0,
            initial=0.0,
            reset="soft",
            reset_interval=period,
            reset_offset=3,
        )
        connect(layer1_sn, Sparse(weights=-1.0 * identity(18)), soft.a_in)
        """,
        "connect(and_, Dense(weights=a['fc:dense:2x3x3']), recorder.fc_sums)",
        "outputs['fc'] = sums['fc'] + 0.5",
        "TIME_STEPS = 4",
        "LATENCY = 3",
    ):
        assert squashed(statement) in squashed(text)
    assert "in_relay1_spikes" not in text


LATE = """
network late steps=4 {
  source %in [2] @0 spike
  neuron %p [2] @1 {}
    %in -> %p
    %p -> %p after 1
  neuron %q [2] @2 {}
    %p -> %q
    %in -> %q
  neuron %r [2] @5 {}
    %p -> %r
    %q -> %r
    %p -> %r > scale{factor=2.0} after 1
  readout %y [2] @6 {}
    %r -> %y
    %p -> %y
    %in -> %y
    %q -> %y after 2
}
"""


def test_what_is_late_is_played_anew_delayed_or_left_to_the_host(folder):
    emit(parse_network(LATE), folder)
    text = (folder / "network.py").read_text()
    for statement in (
        "in_ = play(given['in'], level=0, steps=steps)",
        "in_late1 = play(given['in'], level=1, steps=steps)",
        "connect(in_late1, Sparse(weights=identity(2)), q.a_in)",
        "connect(p, Sparse(weights=identity(2)), p.a_in)",
        "join(hush((2,), level=1, steps=1, period=period), p.a_in)",
        "join(hush((2,), level=2, steps=2, period=period), q.a_in)",
        "p_late3 = DelayLine(shape=(2,), steps=3)",
        "join(p.s_out, p_late3.s_in)",
        "p_late4 = DelayLine(shape=(2,), steps=4)",
        "q_late2 = DelayLine(shape=(2,), steps=2)",
        "connect(p_late3, Sparse(weights=identity(2)), r.a_in)",
        "connect(p_late4, Sparse(weights=2.0 * identity(2)), r.a_in)",
        "connect(q_late2, Sparse(weights=identity(2)), r.a_in)",
        "connect(in_, Sparse(weights=identity(2)), recorder.y_sums)",
        "connect(q, Sparse(weights=identity(2)), recorder.y_sums)",
        "connect(p, Sparse(weights=identity(2)), recorder.y_sums_2)",
        "connect(r, Sparse(weights=identity(2)), recorder.y_sums_3)",
        "'y_sums_3': ('sums', 'y', 6),",
        "IDLE = 2",
    ):
        assert statement in text, text


def test_it_says_which_processes_it_uses(folder):
    used = emit(parse_network(RESIDUAL), folder)
    assert used == {
        "stock": {
            "Conv": 1, "Dense": 2, "LIF": 2, "LIFReset": 1, "RingBuffer": 1, "Sparse": 4,
        },
        "own": {"NormalFormLIF": 1, "Recorder": 1},
    }  # fmt: skip
    text = (folder / "network.py").read_text()
    assert f"STOCK = {used['stock']}" in text
    assert f"OWN = {used['own']}" in text
    assert emit(parse_network(LATE), folder.with_name("late"))["own"] == {
        "DelayLine": 3, "Recorder": 1,
    }  # fmt: skip


def test_stock_only_leaves_out_every_process_of_the_package(folder):
    places = dict(parse_network(RESIDUAL).places)
    places["soft"] = replace(places["soft"], neuron=Neuron(0.5))
    network = parse_network(RESIDUAL).with_changes(places.values())
    used = emit(network, folder, stock_only=True)
    assert used["own"] == {}
    assert used["stock"]["RingBuffer"] == 1 + 4
    files = sorted(path.name for path in (folder / "processes").iterdir())
    assert files == ["__init__.py", "synapses.py"]
    for path in folder.rglob("*.py"):
        assert "(AbstractProcess)" not in path.read_text()
    text = (folder / "network.py").read_text()
    assert ".processes." not in text
    assert squashed("recorder = Sinks(steps, layer1_sn_spikes=(3, 3, 2),") in squashed(text)


def test_weights_are_flipped_for_a_convolution_and_shared(folder):
    network = parse_network(RESIDUAL)
    emit(network, folder)
    with np.load(folder / "arrays.npz") as arrays:
        assert set(arrays) == {"layer1.sn:threshold", "w:conv", "fc:dense:2x3x3"}
        conv, w = arrays["w:conv"], network.tensors["w"]
        assert conv.shape == (2, 3, 3, 2)
        assert conv[1, 0, 2, 0] == w[1, 0, 2, 0]
        assert conv[0, 1, 0, 1] == w[0, 1, 1, 2]
        # Position (row 1, column 0) of channel 1 is 9 + 3 for us and (3 + 0)·2 + 1 for Lava.
        assert arrays["fc:dense:2x3x3"][0, 7] == network.tensors["fc"][0, 12]
        assert arrays["layer1.sn:threshold"].shape == (1, 1, 2)


def test_two_projections_between_the_same_places_keep_their_own_numbers(folder):
    text = """network t {
      source %in [2] @0 spike
      neuron %a [2] @1 {}
        %in -> %a > scale{factor=@one}
        %in -> %a > scale{factor=@two} after 1
      tensor @one float64 [2] = [1.0, 2.0]
      tensor @two float64 [2] = [3.0, 4.0]
    }"""
    emit(parse_network(text), folder)
    with np.load(folder / "arrays.npz") as arrays:
        assert sorted(array.tolist() for array in arrays.values()) == [[1, 2], [3, 4]]


def test_the_package_is_python_and_stands_alone(folder):
    emit(parse_network(RESIDUAL), folder)
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))
    assert files == [
        "__init__.py", "__main__.py", "arrays.npz", "network.py", "processes",
        "processes/__init__.py", "processes/neurons.py", "processes/recorder.py",
        "processes/synapses.py", "wiring.py",
    ]  # fmt: skip
    for path in folder.rglob("*.py"):
        text = path.read_text()
        tree = ast.parse(text, feature_version=(3, 10))
        imported = {
            (node.module or "") if isinstance(node, ast.ImportFrom) else alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        }
        assert not any(name.split(".")[0] in ("snncc", "torch") for name in imported)
        assert max(map(len, text.splitlines())) <= 100


def test_writing_twice_gives_the_same_files(tmp_path):
    network = parse_network(RESIDUAL)
    contents = []
    for name in ("one", "two"):
        emit(network, tmp_path / name)
        contents.append({
            path.relative_to(tmp_path / name): path.read_bytes()
            for path in (tmp_path / name).rglob("*.*")
        })  # fmt: skip
    assert contents[0] == contents[1]


HOSTILE = [
    'x"""\nimport os\nos.system("touch pwned")\n"""',
    "x\nraise SystemExit",
    "'); raise SystemExit #",
    "\\",
    "a}{b",
    "$ports",
    "lambda",
    "play",
    "3d",
    "größe",
    "\u2028x",
]


def test_no_name_becomes_code(tmp_path, folder):
    """Names come from files others wrote: whatever they are, they stay names."""
    shape = (1,)
    places = [Source(name, shape) for name in HOSTILE]
    places += [
        Population(f"{name}!", shape, Neuron(), stands_for=name, role="neuron") for name in HOSTILE
    ]
    places.append(Readout('"""', shape, Ref("b")))
    wires = [Projection(name, f"{name}!", (Dense(Ref(f"{name}'")),)) for name in HOSTILE]
    wires.append(Projection(f"{HOSTILE[0]}!", '"""'))
    tensors = {f"{name}'": np.ones((1, 1)) for name in HOSTILE} | {"b": np.ones(1)}
    network = Network.build(places, wires, tensors, HOSTILE[0])
    emit(BalanceDelays()(network).form, folder)
    tree = ast.parse((folder / "network.py").read_text(encoding="utf-8"))
    called = {
        node.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert called == {"Recorder", "play", "LIFReset", "just_below", "connect", "Dense", "join",
                      "Sparse", "identity"}  # fmt: skip
    assert [type(node).__name__ for node in tree.body].count("FunctionDef") == 2
    assigned = [
        node.targets[0].id
        for function in tree.body
        if isinstance(function, ast.FunctionDef) and function.name == "build"
        for node in function.body
        if isinstance(node, ast.Assign)
    ]
    assert len(assigned) == len(set(assigned)) == 1 + 2 * len(HOSTILE)
    ast.parse((folder / "processes" / "recorder.py").read_text(encoding="utf-8"))


def test_whole_membranes_get_a_threshold_in_between(folder):
    def vth(**changes):
        places = dict(parse_network(RESIDUAL).places)
        places["and"] = replace(places["and"], **changes)
        emit(parse_network(RESIDUAL).with_changes(places.values()), folder)
        text = (folder / "network.py").read_text()
        return text.partition("and_ = LIF(shape=(3, 3, 2), vth=")[2].partition(",")[0]

    assert vth() == "half_below(2.0)"
    assert vth(neuron=Neuron(0.0, 1.5)) == "just_below(1.5)"
    assert vth(neuron=Neuron(0.0, 2.0, 0.5)) == "just_below(2.0)"


def test_a_network_must_be_scheduled_and_realised(folder):
    network = parse_network(RESIDUAL)
    with pytest.raises(ValueError, match="did not go through balance-delays"):
        emit(Network.build(network.places.values(), network.projections, network.tensors), folder)
    early = dict(network.levels) | {"soft": 1}
    with pytest.raises(ValueError, match="layer1.sn -> soft spans 0 steps, and at least 1"):
        emit(replace(network, levels=early), folder)
    twice = [
        replace(p, map=(Conv(Ref("w")), *p.map)) if p.target == "layer1.sn" else p
        for p in network.projections
    ]
    with pytest.raises(ValueError, match="in -> layer1.sn is not realised"):
        emit(replace(network, projections=tuple(twice)), folder)
    loop = [*network.projections, Projection("soft", "soft", (), 1)]
    for neuron in (Neuron(threshold=-0.5, when="next"), Neuron(when="next", keep=-0.25)):
        places = dict(network.places) | {"soft": replace(network.places["soft"], neuron=neuron)}
        with pytest.raises(SnnccError, match="SNN201.*soft feeds soft 1 steps later, and .* not"):
            emit(network.with_changes(places.values(), loop), folder)
    assert not folder.exists()


@pytest.mark.parametrize("name", ["lava", "numpy", "a-b", "class", "3d"])
def test_a_package_needs_a_name(tmp_path: Path, name):
    with pytest.raises(ValueError, match="is no name for a Python package"):
        emit(parse_network(RESIDUAL), tmp_path / name)
