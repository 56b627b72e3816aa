"""Networks kept as their weights and the call that makes them."""

from __future__ import annotations

import functools
import hashlib
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from python_process import python
from torch import nn

from snncc.diagnostics import Exit, SnnccError
from snncc.frontends.checkpoints import open_model, save_model
from snncc.frontends.checkpoints.differences import alike
from snncc.frontends.checkpoints.unpickle import read

EXAMPLE = torch.zeros(5, 1, 4)

NETS = """
import torch, snntorch
from torch import nn
from snntorch import surrogate
from snncc import nn as snn

class Net(nn.Module):
    def __init__(self, width=3, threshold=1.0, name="net", blocks=(1, 2)):
        super().__init__()
        self.fc, self.sn = nn.Linear(4, width), snn.IF()
        self.out = nn.Linear(width, 2)
        self.gain = lambda x: x * threshold
        self.threshold, self.blocks = threshold, blocks

    def forward(self, x):
        return self.out(self.sn(self.gain(self.fc(x))))

class Needs(Net):
    def __init__(self, width):
        super().__init__(width)

def halve(module, given, out):
    return out / 2

def hooked():
    net = Net()
    net.fc.register_forward_hook(halve)
    return net

def local_surrogate(slope=2.0):
    class Spike(torch.autograd.Function):
        @staticmethod
        def forward(ctx, u):
            return (u > 0).float()

        @staticmethod
        def backward(ctx, gradient):
            return gradient * slope

    class Local(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.spike, self.mem = nn.Linear(4, 2), Spike.apply, None

        def forward(self, x):
            mem, spikes = 0, []
            for t in range(x.shape[0]):
                mem = 0.5 * mem + self.fc(x[t])
                spikes.append(self.spike(mem - 0.5))
                mem = mem * (1 - spikes[-1])
            self.mem = mem
            return torch.stack(spikes)

    return Local()

class Torch(nn.Module):
    def __init__(self, beta=0.9, slope=25):
        super().__init__()
        self.fc = nn.Linear(4, 2)
        self.lif = snntorch.Leaky(beta=beta, spike_grad=surrogate.fast_sigmoid(slope=slope))

    def forward(self, x):
        mem, out = self.lif.init_leaky(), []
        for t in range(x.shape[0]):
            spike, mem = self.lif(self.fc(x[t]), mem)
            out.append(spike)
        return torch.stack(out)

class Counts(Net):
    calls = 0

    def __init__(self):
        super().__init__()
        self.times = 0

    def forward(self, x):
        self.times += 1
        return super().forward(x)

network = Net()

def same():
    return network

def fails():
    raise ValueError("no data set")
"""


@pytest.fixture
def nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A module of the user's in the current directory, under a name that is new each time."""
    name = f"nets_{random.SystemRandom().getrandbits(64):x}"
    (tmp_path / f"{name}.py").write_text(NETS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    __import__(name)
    yield sys.modules[name]
    sys.modules.pop(name, None)


def refused(code: str, match: str, call: Callable[[], Any]) -> SnnccError:
    with pytest.raises(SnnccError, match=match) as caught:
        call()
    assert [finding.code for finding in caught.value.findings] == [code], caught.value
    assert caught.value.exit_code == Exit.BAD_INPUT
    return caught.value


def saved_and_opened(module: nn.Module, spec: str, **given: Any) -> nn.Module:
    """Save, see that only plain data is in the file and that it is refused, and open it."""
    save_model(module, "net.pt", EXAMPLE, **given)
    content = read(Path("net.pt").read_bytes(), "net.pt", frozenset())
    assert content["factory"] == spec
    refused("SNN350", f"--allow {spec}", lambda: open_model("net.pt"))
    return open_model("net.pt", allow=[spec]).module


MODULES: dict[str, tuple[Callable[[Any], nn.Module], Callable[[Any], dict[str, Any]], str]] = {
    "found by itself": (lambda n: n.Net(), lambda n: {}, "Net"),
    "a class": (lambda n: n.Net(), lambda n: {"factory": n.Net}, "Net"),
    "a name": (lambda n: n.Net(), lambda n: {"factory": f"{n.__name__}:Net"}, "Net"),
    "arguments": (
        lambda n: n.Net(5, threshold=0.25, blocks=(1, [2, None])),
        lambda n: {"arguments": {"width": 5, "threshold": 0.25, "blocks": (1, [2, None])}},
        "Net",
    ),
    "arguments it needs": (lambda n: n.Needs(6), lambda n: {"arguments": {"width": 6}}, "Needs"),
    "hooks": (lambda n: n.hooked(), lambda n: {"factory": n.hooked}, "hooked"),
    "local classes": (
        lambda n: n.local_surrogate(),
        lambda n: {"factory": n.local_surrogate},
        "local_surrogate",
    ),
    "snnTorch": (
        lambda n: n.Torch(0.8, slope=10),
        lambda n: {"arguments": {"beta": 0.8, "slope": 10}},
        "Torch",
    ),
}


@pytest.mark.parametrize("name", MODULES)
def test_what_is_saved_is_opened(nets: Any, name: str) -> None:
    made, given, factory = MODULES[name]
    torch.manual_seed(1)
    module = made(nets).eval()
    x = (torch.rand(5, 3, 4) < 0.5).float() * 3
    before = module(x)
    opened = saved_and_opened(module, f"{nets.__name__}:{factory}", **given(nets))
    assert torch.equal(opened(x), before)
    assert before.any()


def test_what_is_known_of_the_input(nets: Any) -> None:
    given = {"time_steps": 5, "layout": "TN", "input": "spike"}
    spec = f"{nets.__name__}:Net"
    save_model(nets.Net(), "net.pt", EXAMPLE, factory=spec, **given)
    for opened in (open_model("net.pt", allow=[spec]), open_model(spec, weights="net.pt")):
        assert (opened.shape, opened.dtype) == ((5, 1, 4), torch.float32)
        assert (opened.time_steps, opened.layout, opened.input) == (5, "TN", "spike")
        assert opened.sha256 == hashlib.sha256(Path("net.pt").read_bytes()).hexdigest()
        assert opened.notes == ()


def test_a_factory_named_again_has_its_own_arguments(nets: Any) -> None:
    save_model(nets.Needs(6), "net.pt", EXAMPLE, arguments={"width": 6})
    spec = f"{nets.__name__}:Needs"
    assert open_model(spec, weights="net.pt").module.out.in_features == 6
    with pytest.raises(SnnccError, match="wrong shape"):
        open_model(f"{nets.__name__}:Net", weights="net.pt")


def test_spikingjelly(spikingjelly: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = spikingjelly.package == "clock_driven"
    neuron = "neuron.MultiStepIFNode()" if old else "neuron.IFNode(step_mode='m')"
    name = f"jelly_{random.SystemRandom().getrandbits(64):x}"
    (tmp_path / f"{name}.py").write_text(
        "from torch import nn\n"
        f"from spikingjelly.{spikingjelly.package} import neuron, functional\n"
        "def make(v_threshold=1.0):\n"
        f"    net = nn.Sequential(nn.Linear(4, 3), {neuron}, nn.Linear(3, 2))\n"
        "    net[1].v_threshold, net[1].note = v_threshold, lambda: 3\n"
        "    return net\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    make = __import__(name).make
    module = make(0.5).eval()
    module(torch.rand(EXAMPLE.shape))  # and leave a membrane behind
    given = {"factory": make, "arguments": {"v_threshold": 0.5}}
    opened = saved_and_opened(module, f"{name}:make", **given)
    assert opened[1].v_threshold == 0.5
    refused("SNN351", "`1.v_threshold` is 0.5, and 1.0 in what it makes",
            lambda: save_model(module, "net.pt", EXAMPLE, factory=make))  # fmt: skip


# -- what the factory does not make --------------------------------------------------------------


def changed(module: nn.Module, **attributes: Any) -> nn.Module:
    for name, value in attributes.items():
        setattr(module, name, value)
    return module


def with_hook(module: nn.Module) -> nn.Module:
    module.out.register_forward_pre_hook(lambda module, given: None)
    return module


def called(module: nn.Module) -> nn.Module:
    module(EXAMPLE)
    return module


OTHER: dict[str, tuple[Callable[[Any], nn.Module], str]] = {
    "an argument": (lambda n: n.Net(threshold=0.5), "`gain` differs .*`threshold` is 0.5, and 1.0"),
    "a width": (lambda n: n.Net(5), r"wrong shape for fc.weight \(5, 4\) instead of \(3, 4\)"),
    "an attribute": (lambda n: changed(n.Net(), note=1), "there is no `note` in what it makes"),
    "a tensor": (lambda n: changed(n.Net(), blocks=torch.ones(1)), "`blocks` differs"),
    "a part": (lambda n: changed(n.Net(), fc2=nn.ReLU()), "there is no `fc2`"),
    "another part": (lambda n: changed(n.Net(), sn=nn.ReLU()), "`sn` is a torch.*ReLU, and a"),
    "a function": (lambda n: changed(n.Net(), gain=torch.relu), "`gain` differs"),
    "a hook": (lambda n: with_hook(n.Net()), "`out._forward_pre_hooks` has 1 hooks, and 0 in"),
    "an output": (lambda n: changed(n.Net(), forward=lambda x: x), "the outputs are not equal"),
    "a buffer": (
        lambda n: changed(n.Net(), scale=nn.Buffer(torch.ones(1), persistent=False)),
        "there is no `scale`",
    ),
}


@pytest.mark.parametrize("name", OTHER)
def test_another_network_is_refused(nets: Any, name: str) -> None:
    made, match = OTHER[name]
    Path("net.pt").write_text("the one before")
    refused("SNN351", match, lambda: save_model(made(nets), "net.pt", EXAMPLE, factory=nets.Net))
    assert Path("net.pt").read_text() == "the one before"


def test_the_slope_of_a_surrogate_counts_too(nets: Any) -> None:
    refused(
        "SNN351",
        "`lif.spike_grad` differs",
        lambda: save_model(nets.Torch(slope=3), "net.pt", EXAMPLE, factory=nets.Torch),
    )


@pytest.mark.parametrize(
    ("one", "two", "equal"),
    [
        (1, 1.0, False),
        (float("nan"), float("nan"), True),
        ([1, (2, None)], [1, (2, None)], True),
        ([1, (2, None)], [1, [2, None]], False),
        ({"a": 1}, {"a": 2}, False),
        ({1, 2}, {2, 1}, True),
        (functools.partial(int, base=2), functools.partial(int, base=3), False),
        (functools.partial(int, base=2), functools.partial(int, base=2), True),
        (slice(1, 2), slice(1, 3), False),
        (torch.zeros(1), -torch.zeros(1), False),
        ([nn.ReLU()], [nn.ReLU()], True),
        ([nn.PReLU(1, 0.1)], [nn.PReLU(1, 0.2)], False),
        (property(len), property(abs), False),
        (torch.float32, torch.float64, False),
    ],
)
def test_what_is_alike(one: Any, two: Any, equal: bool) -> None:
    assert alike(one, two) is equal
    assert alike(one, one)


def test_the_closure_of_a_local_class_counts_too(nets: Any) -> None:
    module = nets.local_surrogate(slope=3.0)
    refused(
        "SNN351",
        "the network is a .*Local, and one of other code in what it makes",
        lambda: save_model(module, "net.pt", EXAMPLE, factory=nets.local_surrogate),
    )


def test_a_count_of_calls_is_an_attribute(nets: Any) -> None:
    refused(
        "SNN351",
        "`times` is",
        lambda: save_model(called(nets.Counts()), "net.pt", EXAMPLE, factory=nets.Counts),
    )


@pytest.mark.parametrize(
    ("given", "code", "match"),
    [
        ({"factory": "Net"}, "SNN316", "package.module:factory, not 'Net'"),
        ({"factory": lambda: None}, "SNN316", "cannot be imported by name"),
        ({"arguments": {"width": torch.ones(1)}}, "SNN316", "plain values"),
        ({"arguments": {"a b": 1}}, "SNN316", "plain values"),
        ({"arguments": {"height": 3}}, "SNN314", "unexpected keyword argument 'height'"),
        ({"factory": "absent_nets:Net"}, "SNN313", "no module `absent_nets`"),
        ({"factory": "{nets}:Nett"}, "SNN313", "has no `Nett`; it has `Net`"),
        ({"factory": "{nets}:fails"}, "SNN314", "ValueError: no data set"),
        ({"factory": "{nets}:network"}, "SNN316", "is a network that is there already"),
    ],
)
def test_factories_that_do_not_work(nets: Any, given: Any, code: str, match: str) -> None:
    if isinstance(given.get("factory"), str):
        given = {"factory": given["factory"].format(nets=nets.__name__)}
    with pytest.raises(SnnccError, match=match) as caught:
        save_model(nets.Net(), "net.pt", EXAMPLE, **given)
    assert [finding.code for finding in caught.value.findings] == [code]
    assert not Path("net.pt").exists()


def test_a_network_that_is_there_already_proves_nothing(nets: Any) -> None:
    spec = f"{nets.__name__}:same"
    refused("SNN316", "is a network that is there already",
            lambda: save_model(nets.network, "net.pt", EXAMPLE, factory=spec))  # fmt: skip


def test_what_a_class_by_itself_does_not_make(nets: Any) -> None:
    error = refused("SNN304", "factory=", lambda: save_model(nets.Needs(3), "net.pt", EXAMPLE))
    assert "missing 1 required positional argument: 'width'" in str(error)


def test_values_that_are_not_finite(nets: Any) -> None:
    module = nets.Net()
    module.fc.bias.data[0] = float("nan")
    refused("SNN307", "`fc.bias`", lambda: save_model(module, "n.pt", EXAMPLE, factory=nets.Net))


def test_an_example_the_module_does_not_take(nets: Any) -> None:
    refused(
        "SNN316",
        "does not run on example_input",
        lambda: save_model(nets.Net(), "n.pt", torch.zeros(1, 7), factory=nets.Net),
    )


# -- opening ---------------------------------------------------------------------------------------


EVIL = {
    "snncc": "0.1",
    "format": 1,
    "factory": "evil:make",
    "arguments": {"path": "/\n\x1b[2J"},
    "state": {},
    "code": {},
    "shape": (1, 4),
    "dtype": torch.float32,
}
CODE = "open('canary', 'w')\ndef make(): pass\n"


def test_what_a_file_names_is_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    Path("evil.py").write_text(CODE)
    torch.save(EVIL, "net.pt")
    for allowed in ([], ["evil:made"], ["nets:make"]):
        refused("SNN350", "evil:make", lambda allowed=allowed: open_model("net.pt", allow=allowed))
    assert "evil" not in sys.modules
    assert not Path("canary").exists()


@pytest.mark.slow
def test_what_the_command_line_says_of_it(tmp_path: Path) -> None:
    (tmp_path / "evil.py").write_text(CODE)
    torch.save(EVIL, tmp_path / "net.pt")
    done = snncc_command(tmp_path, "check", "net.pt")
    assert done.returncode == 2
    assert "error[SNN350]" in done.stderr
    assert "evil:make(path=" in done.stderr
    assert "snncc compile net.pt --allow evil:make" in done.stderr
    assert "\x1b" not in done.stderr
    assert not (tmp_path / "canary").exists()
    snncc_command(tmp_path, "check", "net.pt", "--allow", "evil:make")
    assert (tmp_path / "canary").exists()


def snncc_command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return python(folder, "-m", "snncc", *arguments, timeout=100)


@pytest.mark.parametrize(
    "wrong",
    [
        {"format": 2},
        {"format": "1"},
        {"factory": "os.system"},
        {"factory": "os:system;rm"},
        {"arguments": None},
        {"arguments": {"a": torch.ones(1)}},
        {"arguments": {"a b": 1}},
        {"state": None},
        {"code": {"nets": 3}},
    ],
)
def test_files_are_checked(nets: Any, wrong: dict[str, Any]) -> None:
    save_model(nets.Net(), "net.pt", EXAMPLE, factory=nets.Net)
    content = read(Path("net.pt").read_bytes(), "net.pt", frozenset())
    torch.save(content | wrong, "net.pt")
    allowed = [content["factory"], str(wrong.get("factory"))]
    with pytest.raises(SnnccError, match="SNN305.*damaged"):
        open_model("net.pt", allow=[name for name in allowed if ":" in name])


def test_arguments_that_hold_themselves(nets: Any) -> None:
    save_model(nets.Net(), "net.pt", EXAMPLE, factory=nets.Net)
    content = read(Path("net.pt").read_bytes(), "net.pt", frozenset())
    circle: list[Any] = []
    circle.append(circle)
    torch.save(content | {"arguments": {"width": circle}}, "net.pt")
    refused("SNN305", "plain values", lambda: open_model("net.pt", allow=[content["factory"]]))


def test_each_misfit_is_a_finding(nets: Any) -> None:
    save_model(nets.Net(), "net.pt", EXAMPLE, factory=nets.Net)
    content = read(Path("net.pt").read_bytes(), "net.pt", frozenset())
    state = content["state"]
    state["fc.weight"] = torch.ones(2, 2)
    state["fc.gain"] = state.pop("fc.bias")
    torch.save(content, "net.pt")
    with pytest.raises(SnnccError) as caught:
        open_model("net.pt", allow=[content["factory"]])
    assert [(finding.code, finding.message) for finding in caught.value.findings] == [
        ("SNN305", "net.pt lacks fc.bias"),
        ("SNN305", "net.pt has the unknown fc.gain"),
        ("SNN305", "net.pt has a wrong shape for fc.weight (2, 2) instead of (3, 4)"),
    ]


def test_code_that_changed_is_a_note(nets: Any) -> None:
    save_model(nets.Net(), "net.pt", EXAMPLE, factory=nets.Net)
    spec = f"{nets.__name__}:Net"
    file = Path(nets.__file__)
    file.write_text(f"{file.read_text()}\n# a line more\n")
    (note,) = open_model("net.pt", allow=[spec]).notes
    assert note.code == "SNN530"
    assert f"the code in `{nets.__name__}` is not what it was" in note.message


# -- scripts ---------------------------------------------------------------------------------------

TRAIN = """
import torch, snncc
from torch import nn

class Net(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.fc, self.sn = nn.Linear(4, width), snncc.nn.IF()
        self.gain = lambda x: 2 * x

    def forward(self, x):
        return self.sn(self.gain(self.fc(x)))

def save():
    torch.manual_seed(0)
    open("trained", "a").write("x")
    given = {"width": 3}
    snncc.save_model(Net(3), "net.pt", torch.zeros(4, 1, 4), arguments=given, input="spike")

%ssave()
"""


@pytest.mark.slow
def test_a_class_of_the_script_that_runs(tmp_path: Path) -> None:
    """Saved by the script, compiled and verified by the command line, which does not train."""
    (tmp_path / "train.py").write_text(TRAIN % 'if __name__ == "__main__":\n    ')
    done = python(tmp_path, "train.py", timeout=100)
    assert done.returncode == 0, done.stderr
    done = snncc_command(tmp_path, "check", "net.pt", "--allow", "train:Net")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "no findings"
    assert (tmp_path / "trained").read_text() == "x"


@pytest.mark.slow
def test_a_script_that_would_train_again(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(TRAIN % "")
    done = python(tmp_path, "train.py", timeout=100)
    assert done.returncode == 1
    assert "SNN351" in done.stderr
    assert 'line 20 is not under `if __name__ == "__main__":`' in done.stderr
    assert not (tmp_path / "net.pt").exists()


@pytest.mark.slow
def test_a_session_has_no_name(tmp_path: Path) -> None:
    done = python(tmp_path, "-c", TRAIN % "", timeout=100)
    assert "SNN316: `Net` was defined in an interactive session" in done.stderr
    assert not (tmp_path / "net.pt").exists()
