"""snncc init: nothing is run, and what is said is enough to go on."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import snncc

SCRIPT = """
import torch
from torch import nn

print("this script was run")

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.out = nn.Linear(8, 16), nn.Linear(16, 4)
        self.neuron = snncc.nn.IF()

    def forward(self, x):
        mem = total = 0
        for t in range(5):
            mem = mem + self.fc(x[t])
            total = total + self.out(self.neuron(mem))
        return total

if __name__ == "__main__":
    net = Net()
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    torch.save(net.state_dict(), "weights.pt")
"""


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.out, self.neuron = nn.Linear(8, 16), nn.Linear(16, 4), snncc.nn.IF()


@pytest.fixture
def script(run, tmp_path):
    (tmp_path / "train.py").write_text(SCRIPT.replace("import torch\n", "import snncc, torch\n", 1))
    torch.save(Net().state_dict(), tmp_path / "weights.pt")
    return "train.py"


COMMAND = (
    "snncc compile train:Net --weights weights.pt --input-shape 8 --layout TN --time-steps 5 "
    "--input analog --target loihi -o build/net"
)


def test_a_script(run, script):
    result = run("init", script)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (
        f"{COMMAND}\n"
        "snncc simulate build/net --input test.npz\n"
        "\n"
        "what         value       from\n"
        "network      train:Net   train.py:21\n"
        "weights      weights.pt  train.py:23\n"
        "input shape  8           train.py:10, the first layer\n"
        "layout       TN          train.py:16, `x[t]`\n"
        "time steps   5           train.py:15\n"
        "input        analog      assumed: no data set or encoder was seen\n"
    )
    assert "train" not in sys.modules


def test_a_state_dict_finds_the_script_beside_it(run, script):
    result = run("init", "weights.pt")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0] == COMMAND


def test_a_state_dict_in_another_folder(run, script, tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    for file in (script, "weights.pt"):
        Path(file).rename(folder / file)
    lines = run("init", "work/weights.pt").stdout.splitlines()
    assert lines[0] == "cd work"
    assert f"snncc compile train:Net --weights {folder / 'weights.pt'} --input-shape 8" in lines[1]


def test_a_state_dict_alone(run, tmp_path):
    layers = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 7))
    torch.save({"net": layers.state_dict(), "epoch": 3}, tmp_path / "conv.pth")
    result = run("init", "conv.pth")
    assert result.exit_code == 0
    assert result.stdout.startswith(
        "snncc compile MODULE:FACTORY --weights conv.pth --input-shape 2,H,W --target loihi"
    )
    assert "0.weight in conv.pth, (4, 2, 3, 3)" in result.stdout
    assert "classes      7" in result.stdout
    for left in ("for MODULE:FACTORY", "the sizes of the input for 2,H,W", "give --layout"):
        assert left in result.stdout


def test_files_of_save_model(run, tmp_path, model):
    result = run("init", model)
    assert result.exit_code == 0
    assert result.stdout.startswith(f"snncc compile {model} --target loihi -o build/small\n")
    assert "\ninput  spike " in result.stdout
    module, example = nn.Identity(), torch.zeros(5, 1, 4)
    snncc.save_model(module, tmp_path / "net.pt", example, factory=nn.Identity, layout="TN")
    result = run("init", "net.pt")
    allowed = "torch.nn.modules.linear:Identity"
    assert result.stdout.startswith(f"snncc compile net.pt --allow {allowed} --target loihi")
    assert f"look at `{allowed}`: with --allow it runs" in result.stdout


def test_a_module_saved_whole(run, tmp_path):
    torch.save(nn.Sequential(nn.Linear(6, 3), snncc.nn.IF()), tmp_path / "whole.pt")
    result = run("init", "whole.pt")
    assert result.stdout.startswith("snncc compile whole.pt --input-shape 6 --target loihi")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("absent.py", None, "absent.py cannot be read"),
        ("absent.pt", None, "absent.pt cannot be read"),
        ("net.onnx", None, "net.onnx does not exist; give a .py, .pt or .pth"),
        ("notes.txt", b"", "notes.txt is neither a script nor a .pt"),
        ("empty.pt", b"", "empty.pt is empty"),
        ("bad.py", b"def (:", "at bad.py:1: bad.py is no Python file: invalid syntax"),
        ("data.py", b"x = 3", "trains no network that can be seen without running it"),
    ],
)
def test_what_cannot_be_read(refused, tmp_path, name, content, said):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    refused("init", name, said=said)


def test_a_file_that_holds_more_than_data(refused, tmp_path):
    torch.save(Net(), tmp_path / "own.pt")
    refused("init", "own.pt", said="not on the list of classes")


@pytest.mark.slow
def test_the_import_that_is_allowed(run, script):
    result = run("init", script, "--allow-import")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith(f"{COMMAND}\n")
    assert "parameters    212                train:Net was called" in result.stdout
    assert "weights fit   weights.pt" in result.stdout
    assert "this script was run" not in result.stdout


@pytest.mark.slow
def test_an_import_that_does_not_end(run, script):
    endless = f"{Path(script).read_text()}\nwhile True: pass\n"
    Path(script).write_text(endless)
    result = run("init", script, "--allow-import", "--time-limit", "8")
    assert result.exit_code == 2
    assert "importing and calling `train:Net` took longer than 8 s" in result.stderr


@pytest.mark.slow
def test_weights_of_another_network(run, script):
    torch.save(nn.Linear(2, 2).state_dict(), "weights.pt")
    result = run("init", script, "--allow-import")
    assert result.exit_code == 2
    assert result.stderr.count("error[SNN305]") == 2
    assert "weights.pt lacks fc.weight" in result.stderr


def test_nothing_to_import(refused, model):
    refused("init", model, "--allow-import", said="the proposal has no factory to call")


@pytest.mark.parametrize("name", ["make", "net", "build"])
def test_a_factory_of_any_name_is_called(run, tmp_path, monkeypatch, name):
    """The file to write defines `make`, which must not call itself in place of the script's."""
    text = SCRIPT.replace("import torch\n", "import snncc, torch\n", 1)
    text = text.replace("def __init__(self)", "def __init__(self, width)").replace("16", "width")
    making = f"def {name}(width):\n    return Net(width)\n\nif __name__"
    text = text.replace("if __name__", making).replace("net = Net()", f"model = {name}(16)")
    script = tmp_path / f"train_{name}.py"
    script.write_text(text.replace("net.", "model."))
    said = run("init", script.name).stdout
    monkeypatch.syspath_prepend(tmp_path)
    names = {}
    exec(said.partition("<<'END'\n")[2].partition("END\n")[0], names)
    assert names["make"]().fc.out_features == 16
