"""What somebody might send as an ONNX file: one sentence, and nothing else happens."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import numpy as np
import pytest

from snncc.diagnostics import SnnccError
from snncc.frontends.onnx.reading import read_bytes, read_file

onnx = pytest.importorskip("onnx")

import hostile_files  # noqa: E402

FILES = sorted(Path(__file__).with_name("files").glob("*.onnx"))
SMALL = Path(__file__).with_name("files") / "scripted_leg.onnx"


def refused(data: bytes, code: str, said: str) -> None:
    with pytest.raises(SnnccError) as problem:
        read_bytes(data, "file.onnx")
    (finding,) = problem.value.findings
    assert finding.code == code
    assert said in finding.message
    assert "\n" not in finding.message


def changed(change) -> bytes:
    model = onnx.load(SMALL)
    change(model)
    return model.SerializeToString()


def test_a_file_of_something_else():
    for data in (b"", b"no model", b"\x80" * 100, SMALL.read_bytes()[:700]):
        with pytest.raises(SnnccError, match="SNN305"):
            read_bytes(data, "file.onnx")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(SnnccError, match="SNN305"):
        read_file(tmp_path / "none.onnx")


@pytest.mark.parametrize("where", ["/etc/passwd", "../weights", "weights.bin"])
def test_weights_in_another_file(where):
    def change(model):
        tensor = onnx.numpy_helper.from_array(np.zeros(3, np.float32), "w")
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=where)
        model.graph.initializer.append(tensor)

    refused(changed(change), "SNN304", "lies in another file")


def beside(folder, **said):
    """A file that says where the weights of its first tensor are; they are in weights.bin."""
    model = onnx.load_model_from_string(SMALL.read_bytes())
    tensor = model.graph.initializer[0]
    (folder / "weights.bin").write_bytes(b"1234" + tensor.raw_data)
    size = len(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in {"location": "weights.bin", "offset": 4, "length": size, **said}.items():
        tensor.external_data.add(key=key, value=str(value))
    (folder / "net.onnx").write_bytes(model.SerializeToString())
    return folder / "net.onnx"


def test_weights_beside_the_file(tmp_path):
    file, inside = read_file(beside(tmp_path)), read_file(SMALL)
    assert file.body.constants.keys() == inside.body.constants.keys()
    for name, value in inside.body.constants.items():
        assert np.array_equal(file.body.constants[name], value)


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"offset": -4}, "SNN305"),
        ({"offset": 2**40}, "SNN305"),
        ({"length": 2**40}, "SNN305"),
        ({"length": 4}, "SNN305"),
        ({"length": "all"}, "SNN305"),
        ({"location": "none.bin"}, "SNN305"),
        ({"location": "."}, "SNN304"),
        ({"location": "a\0b"}, "SNN304"),
        ({"location": "../weights.bin"}, "SNN304"),
    ],
)
def test_weights_that_are_not_beside_the_file(tmp_path, said, code):
    with pytest.raises(SnnccError, match=code):
        read_file(beside(tmp_path, **said))


def test_weights_behind_a_link(tmp_path):
    path, weights = beside(tmp_path), tmp_path / "weights.bin"
    moved = weights.rename(tmp_path / "moved.bin")
    weights.symlink_to(moved)
    with pytest.raises(SnnccError, match="SNN304"):
        read_file(path)
    weights.unlink()
    weights.hardlink_to(moved)
    with pytest.raises(SnnccError, match="SNN304"):
        read_file(path)
    weights.unlink()
    os.mkfifo(weights)
    with pytest.raises(SnnccError, match="SNN304"):
        read_file(path)


@pytest.mark.parametrize("size", [-1, 4, 2**40])
def test_a_size_that_lies(size):
    def change(model):
        tensor = onnx.numpy_helper.from_array(np.zeros(3, np.float32), "w")
        tensor.dims[0] = size
        model.graph.initializer.append(tensor)

    refused(changed(change), "SNN305", "tensor `w`")


def test_a_function_that_calls_itself():
    chance = random.Random(0)
    refused(changed(lambda m: hostile_files._recursion(m, chance)), "SNN305", "calls itself")


def test_functions_that_grow():
    chance = random.Random(0)
    refused(changed(lambda m: hostile_files._bomb(m, chance)), "SNN305", "100,000 operations")


def test_nodes_in_a_circle():
    def change(model):
        for one, two in (("a", "b"), ("b", "a")):
            model.graph.node.append(onnx.helper.make_node("Neg", [one], [two]))

    refused(changed(change), "SNN305", "is damaged")


def test_operators_of_no_known_version():
    def change(model):
        model.opset_import[0].version = 999

    refused(changed(change), "SNN305", "version 999")


def test_weights_that_are_no_numbers():
    def change(model):
        array = np.array([0, np.nan], np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, "w"))

    refused(changed(change), "SNN307", "`w`")


def outcomes(seeds) -> list[hostile_files.Outcome]:
    data = [path.read_bytes() for path in FILES]
    return [
        hostile_files.outcome(hostile_files.mutated(data[seed % len(data)], seed)) for seed in seeds
    ]


def test_damaged_files():
    assert len(outcomes(range(12))) == 12


def test_of_the_recorded_files_all_were_read_or_refused():
    record = Path(__file__).parents[3] / "benchmarks" / "results" / "onnx_files.json"
    result = json.loads(record.read_text(encoding="utf-8"))["damaged"]
    assert not result["failures"]
    assert result["files"] >= 2000


@pytest.mark.slow
def test_more_damaged_files():
    before = hostile_files.memory()
    found = outcomes(range(1000, 1100))
    assert max(each.seconds for each in found) < hostile_files.SECONDS
    assert hostile_files.memory() - before < hostile_files.MEGABYTES
    assert {"read", "SNN305", "SNN304", "SNN301"} <= {each.said for each in found}
