"""Scripts are read, not run; what is proposed for them compiles."""

from __future__ import annotations

import contextlib
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from python_process import ROOT, python
from training_scripts import CASES, GUARD, Case

from snncc.cli.init import lines
from snncc.diagnostics import SnnccError
from snncc.frontends.layout import sample_axis, shape_of
from snncc.frontends.scripts.proposal import Proposal
from snncc.frontends.scripts.script import survey


def proposed(text: str) -> tuple[Proposal, str]:
    Path("train.py").write_text(text)
    proposal = survey(Path("train.py"))
    return proposal, "\n".join(lines(proposal))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_usual_styles(case: Case) -> None:
    proposal, said = proposed(f"raise SystemExit('this script was run')\n{case.text}")
    assert proposal.commands[0] == case.command
    assert all(part in said for part in case.said), said
    assert not proposal.to_do
    assert all(fact.origin for fact in proposal.facts)


def compiles(case: Case, folder: Path) -> None:
    """Run the script, which saves its first weights, and the command that is proposed."""
    proposal, _ = proposed(case.text)
    name, text = proposal.file
    if name:
        Path(name).write_text(text)
    commands = [["-m", *shlex.split(command)] for command in proposal.commands]
    recordings(proposal)
    said = []
    for command in (["train.py"], *commands):
        done = python(folder, *command)
        assert done.returncode == 0, done.stderr
        said.append(done.stdout)
    assert "module → network: 0 of " in said[1]
    assert "4 samples" in said[2]


def recordings(proposal: Proposal) -> None:
    """Write test.npz, four samples as the proposed options say."""
    given = dict(zip(proposal.options[::2], proposal.options[1::2], strict=True))
    features = [int(each) for each in given["--input-shape"].split(",")]
    layout, steps = given["--layout"], int(given.get("--time-steps", 1))
    one = torch.rand(shape_of(layout, features, steps)).round()
    axis = sample_axis(layout, one.dim())
    np.savez("test.npz", inputs=torch.cat([one] * 4, axis).numpy(), labels=np.zeros(4, int))


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n, case in CASES.items() if not case.needs])
def test_what_is_proposed_compiles(name: str, folder: Path) -> None:
    compiles(CASES[name], folder)


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n, case in CASES.items() if case.needs])
def test_what_is_proposed_for_spikingjelly_compiles(
    name: str, folder: Path, spikingjelly: Any
) -> None:
    if spikingjelly.package == CASES[name].needs:
        compiles(CASES[name], folder)


FIRST = """
import torch
from torch import nn
from torchvision.datasets import MNIST

class Net(nn.Module):
    def __init__(self, width=8, mode=None):
        super().__init__()
        self.conv = nn.Conv2d(1, width, 3)

    def forward(self, x):
        for t in range(4):
            y = self.conv(x)
        return y

net = Net()
optimizer = torch.optim.SGD(net.parameters(), 0.1)
"""


def test_a_script_without_weights() -> None:
    proposal, _ = proposed(FIRST)
    assert proposal.commands[0] == (
        "snncc compile train:Net --weights WEIGHTS.pt --input-shape 1,H,W --layout N "
        "--input analog --target loihi -o build/net"
    )
    assert [each.partition(":")[0] for each in proposal.to_do] == [
        "the script saves no weights",
        "give the sizes of the input for 1,H,W",
    ]
    assert "assumed: no data set or encoder was seen" in [f.origin for f in proposal.facts]


def test_a_whole_network_that_is_saved() -> None:
    proposal, _ = proposed(f"{FIRST}torch.save(net, 'net.pt')\n")
    assert "train.py:18 saves the whole network; save net.state_dict()" in proposal.to_do[1]


def test_a_script_that_trains_when_it_is_imported() -> None:
    proposal, _ = proposed(f"{FIRST}for epoch in range(9):\n    net.train()\n")
    assert proposal.to_do[0].startswith("importing train.py runs lines 18 to 19: put them under")
    proposal, _ = proposed(f"{FIRST}\ndef main():\n    pass\n\nmain()\n")
    assert proposal.to_do[0].startswith("importing train.py runs line 22")
    proposal, _ = proposed(f"{FIRST}\ndef main():\n    pass\n\n{GUARD}")
    assert not any("importing" in each for each in proposal.to_do)


@pytest.mark.parametrize(
    ("change", "option", "value"),
    [
        (("for t in range(4):", "for t in range(x.shape[0]):\n            x[t]"), "--layout", "TN"),
        (("for t in range(4):", "for s in range(4):\n            x[:, s]"), "--layout", "NT"),
        (("for t in range(4):", "for s in range(4):\n            x[..., s]"), "--layout", "NFT"),
        (("for t in range(4):", "for step in x:"), "--layout", "TN"),
        (("for t in range(4):", "for t in range(4):\n            x[0]"), "--layout", "N"),
        (("for t in range(4):", "for s in range(4):\n            x[:, s]"), "--time-steps", "4"),
        (("net = Net()", "net = Net()\nMNIST('data')"), "--input-shape", "1,28,28"),
        (("net = Net()", "net = Net()\nMNIST('d', Resize(32))"), "--input-shape", "1,32,32"),
        (("net = Net()", "net = Net()\nCIFAR10('data')"), "--input-shape", "1,32,32"),
        (("net = Net()", "net = Net()\ntorch.bernoulli(x)"), "--input", "spike"),
        (("net = Net()", "net = Net()\nx = (x > 0).float()"), "--input", "spike"),
        (("net = Net()", "net = Net()\nDVS128Gesture('data')"), "--input", "count"),
        (("return y", "return y, x"), "--head", "0"),
    ],
)
def test_one_line_decides(change: tuple[str, str], option: str, value: str) -> None:
    proposal, _ = proposed(FIRST.replace(*change))
    assert proposal.options[proposal.options.index(option) + 1] == value


def test_arguments_that_are_no_plain_values() -> None:
    proposal, said = proposed(FIRST.replace("Net()", "Net(16, mode=pick(3)).cuda()"))
    assert proposal.model == "snncc_network:make"
    assert "return Net(16, mode=...)" in said
    assert "in snncc_network.py, give a value for `pick(3)`" in proposal.to_do


def test_a_number_that_changes_is_none() -> None:
    twice = "width = 3\nwidth = 4\nnet = Net(width)"
    proposal, said = proposed(FIRST.replace("net = Net()", twice))
    assert "return Net(...)" in said
    assert "in snncc_network.py, give a value for `width`" in proposal.to_do


@pytest.mark.parametrize(
    "lines",
    [
        "def other(width=5): pass\nnet = Net(width)",
        "width = 3\nwidth += 1\nnet = Net(width)",
        "for width in (3, 4):\n    net = Net(width)",
        "width = int(input())\nnet = Net(width)",
        "width = 3\nnet = Net(config.width)",
        "net = Net(*given)",
        "net = Net(**given)",
    ],
)
def test_no_argument_is_guessed(lines: str) -> None:
    proposal, said = proposed(FIRST.replace("net = Net()", lines))
    assert "return Net(...)" in said
    assert any("snncc_network.py" in each for each in proposal.to_do)


def test_arguments_that_stand_there() -> None:
    lines = (
        "a, b = 2 * 3, 'x'\nconfig = {'width': 5}\nnet = Net(a, mode=[b, -1], w=config['width'])"
    )
    _, said = proposed(FIRST.replace("net = Net()", lines))
    assert "return Net(6, mode=..., w=5)" in said


@pytest.mark.parametrize(
    "line", ["net.threshold = 0.5", "freeze(net)", "net.fuse()", "for p in ps:\n    prune(net, 3)"]
)
def test_what_may_change_the_network_is_said(line: str) -> None:
    proposal, _ = proposed(FIRST.replace("net = Net()", f"net = Net()\n{line}"))
    said = line.rpartition("\n")[2].strip()
    assert any("may change the network" in t and said in t for t in proposal.to_do), proposal


def test_another_network_of_the_same_name() -> None:
    other = "class Other(Net):\n    pass\n\nnet = Net()\nif x:\n    net = Other()"
    proposal, _ = proposed(FIRST.replace("net = Net()", other))
    assert proposal.model == "train:Net"
    assert "another network is made at train.py:21: take the one you trained" in proposal.to_do


def test_a_class_in_a_file_beside_it() -> None:
    Path("nets.py").write_text(FIRST.partition("net = Net()")[0])
    proposal, _ = proposed(
        "import torch, nets\nnet = nets.Net()\ntorch.optim.SGD(net.parameters())\n"
        "torchvision.datasets.MNIST('data')\ntorch.save(net.state_dict(), folder / 'a.pt')\n"
    )
    assert proposal.model == "nets:Net"
    assert "FOLDER/a.pt" in proposal.options
    assert "give the folder of a.pt, `folder / 'a.pt'` in the script" in proposal.to_do
    assert ("layout", "nets.py:12, a loop over one input") in [
        (fact.what, fact.origin) for fact in proposal.facts
    ]


def test_a_script_in_another_folder() -> None:
    Path("work").mkdir()
    Path("work/train.py").write_text(FIRST)
    proposal = survey(Path("work/train.py"))
    assert (proposal.folder, proposal.model) == ("work", "train:Net")
    assert lines(proposal)[0] == "cd work"


def test_a_file_of_save_model() -> None:
    call = "import snncc\nsnncc.save_model(net, 'net.pt', x, factory='nets:make')\n"
    proposal, _ = proposed(FIRST + call)
    assert proposal.commands[0] == (
        "snncc compile net.pt --allow nets:make --target loihi -o build/net"
    )


def test_an_encoder_inside_of_forward() -> None:
    proposal, _ = proposed(FIRST.replace("y = self", "z = torch.rand_like(x) < x; y = self"))
    assert any("draws random numbers in forward" in each for each in proposal.to_do)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("x = 3", "trains no network that can be seen"),
        ("", "trains no network"),
        ("def (:", "is no Python file: invalid syntax"),
        ("\0", "is no Python file"),
        ("(" * 500, "is no Python file"),
    ],
)
def test_what_is_no_script(text: str, match: str) -> None:
    with pytest.raises(SnnccError, match=match) as caught:
        proposed(text)
    assert [finding.code for finding in caught.value.findings] == ["SNN305"]


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("mnist", "snncc compile examples.mnist.network:DigitNet --weights FOLDER/mnist.pt "),
        ("dst", "snncc compile MODEL.pt "),
        ("mlf", "snncc compile MODEL.pt "),
        ("danet", "snncc compile MODEL.pt "),
    ],
)
def test_the_examples(name: str, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert survey(Path(f"examples/{name}/train.py")).commands[0].startswith(command)


def test_every_python_file_here_is_read_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    for path in [*ROOT.glob("examples/**/*.py"), *ROOT.glob("snncc/nn/*.py")]:
        with contextlib.suppress(SnnccError):
            assert survey(path.relative_to(ROOT)).commands
