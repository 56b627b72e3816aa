"""Opening what a user names as MODEL. Whatever a file holds, nothing in it is executed."""

from __future__ import annotations

import hashlib
import inspect
import io
import os
import pickle
import random
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from snncc import nn as snn
from snncc.diagnostics import Exit, SnnccError
from snncc.frontends.checkpoints import Checkpoint, open_model, save_model
from snncc.frontends.checkpoints import unpickle as unpickle_module
from snncc.frontends.checkpoints.allow_list import KNOWN, allow_list, resolve

EXAMPLE = torch.zeros(3, 1, 2, 6, 6)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        snn.OverTime(nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4))),
        snn.IF(),
        nn.Flatten(2),
        nn.Linear(64, 2),
    )


def refused(code: str, match: str, spec: str | Path, **options: Any) -> SnnccError:
    with pytest.raises(SnnccError, match=match) as caught:
        open_model(str(spec), **options)
    error = caught.value
    assert [finding.code for finding in error.findings] == [code]
    assert error.exit_code == Exit.BAD_INPUT
    assert "\n" not in str(error)
    return error


# -- saved and opened --------------------------------------------------------------------------


def test_what_is_saved_is_opened(tmp_path: Path) -> None:
    module, path = network(), tmp_path / "net.pt"
    save_model(module, path, EXAMPLE.double(), time_steps=3, layout="TN", input="spike")
    opened = open_model(str(path))

    assert (opened.shape, opened.dtype) == ((3, 1, 2, 6, 6), torch.float64)
    assert (opened.time_steps, opened.layout, opened.input) == (3, "TN", "spike")
    assert opened.source == str(path)
    assert opened.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert not any(part.training for part in opened.module.modules())
    assert module.training
    x = torch.rand(EXAMPLE.shape)
    assert torch.equal(opened.module(x), module.eval()(x))


def test_facts_that_were_not_given_are_none(tmp_path: Path) -> None:
    save_model(network(), tmp_path / "net.pth", EXAMPLE)
    opened = open_model(str(tmp_path / "net.pth"))
    assert (opened.time_steps, opened.layout, opened.input) == (None, None, None)


@pytest.mark.parametrize("content", [lambda m: m, lambda m: {"net": m, "epoch": 3, "loss": [0.5]}])
def test_a_module_saved_with_torch_alone(
    tmp_path: Path, content: Callable[[nn.Module], Any]
) -> None:
    path = tmp_path / "net.pt"
    torch.save(content(network()), path)
    opened = open_model(str(path))
    assert isinstance(opened.module[0], snn.OverTime)
    assert (opened.shape, opened.dtype) == (None, None)


@pytest.mark.slow
@pytest.mark.parametrize("gate", ["and", "iand", "or", "xor", "add"])
def test_our_networks_open(tmp_path: Path, gate: Any) -> None:
    module = snn.DualStreamResNet(widths=(4, 8), blocks=(1, 1), gate=gate).eval()
    save_model(module, tmp_path / "net.pt", torch.zeros(2, 1, 2, 16, 16), layout="TN")
    opened = open_model(str(tmp_path / "net.pt"))
    assert str(opened.module) == str(module)
    x = (torch.rand(2, 3, 2, 16, 16) < 0.3).float()
    for ours, theirs in zip(opened.module(x), module(x), strict=True):
        assert torch.equal(ours, theirs)


def test_parts_that_are_shared_stay_shared(tmp_path: Path) -> None:
    shared = nn.Linear(2, 2)
    tied = nn.Linear(2, 2)
    tied.weight = shared.weight
    save_model(nn.Sequential(shared, shared, tied), tmp_path / "net.pt", torch.zeros(1, 2))
    first, second, third = open_model(str(tmp_path / "net.pt")).module
    assert first is second
    assert third.weight is first.weight


def test_every_class_we_export_may_be_saved() -> None:
    allowed = allow_list()
    for name in snn.__all__:
        part = getattr(snn, name)
        if inspect.isclass(part):
            assert f"{part.__module__}.{part.__qualname__}" in allowed


@pytest.mark.parametrize("name", sorted(name for name in KNOWN if name.startswith("torch.")))
def test_every_torch_class_on_the_list_exists(name: str) -> None:
    assert issubclass(resolve(name), nn.Module)


def test_a_cuda_checkpoint_opens_on_the_cpu(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "cpu.pt")
    with (
        zipfile.ZipFile(tmp_path / "cpu.pt") as source,
        zipfile.ZipFile(tmp_path / "cuda.pt", "w") as target,
    ):
        for name in source.namelist():
            data = source.read(name).replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0")
            target.writestr(name, data)
    weight = open_model(str(tmp_path / "cuda.pt")).module.weight
    assert weight.device.type == "cpu"


# -- SpikingJelly ------------------------------------------------------------------------------


def spikingjelly_parts(package: Any) -> dict[str, nn.Module]:
    """One of each SpikingJelly class on the list that this version has, by its pickled name."""
    inner = nn.Sequential(nn.Conv2d(2, 2, 3), nn.BatchNorm2d(2))
    parts = {}
    for kind in ("neuron", "layer", "surrogate"):
        module = package.module(kind)
        for cls in vars(module).values():
            name = f"{getattr(cls, '__module__', '')}.{getattr(cls, '__qualname__', '')}"
            if name not in KNOWN or not name.startswith("spikingjelly."):
                continue
            for arguments in ((), (inner,), (2,), (2, 2), (2, 2, 3), (3, 3, 3, 3, 3)):
                try:
                    parts[name] = cls(*arguments)
                    break
                except Exception:
                    continue
    return parts


def test_spikingjelly_modules_open(tmp_path: Path, spikingjelly: Any) -> None:
    parts = spikingjelly_parts(spikingjelly)
    assert len(parts) > 30
    assert all(isinstance(part, nn.Module) for part in parts.values())
    path = tmp_path / "net.pt"
    save_model(nn.ModuleList(parts.values()), path, EXAMPLE)
    for opened, saved in zip(open_model(str(path)).module, parts.values(), strict=True):
        assert type(opened) is type(saved)
        assert vars(opened).keys() == vars(saved).keys()


def test_a_spikingjelly_network_computes_what_it_did(tmp_path: Path, spikingjelly: Any) -> None:
    neuron, layer = spikingjelly.module("neuron"), spikingjelly.module("layer")
    surrogate = spikingjelly.module("surrogate").ATan()
    torch.manual_seed(0)
    multi = (
        {"lif": neuron.MultiStepLIFNode, "plif": neuron.MultiStepParametricLIFNode}
        if spikingjelly.package == "clock_driven"
        else {"lif": neuron.LIFNode, "plif": neuron.ParametricLIFNode}
    )
    steps = {} if spikingjelly.package == "clock_driven" else {"step_mode": "m"}
    module = nn.Sequential(
        layer.SeqToANNContainer(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4)),
        multi["lif"](surrogate_function=surrogate, **steps),
        layer.SeqToANNContainer(nn.Flatten(), nn.Linear(64, 5)),
        multi["plif"](v_threshold=0.1, detach_reset=True, **steps),
    ).eval()
    x = torch.rand(EXAMPLE.shape) * 40
    before = module(x)
    for part in module:
        if hasattr(part, "reset"):
            part.reset()
    save_model(module, tmp_path / "net.pt", EXAMPLE, layout="TN")
    assert torch.equal(open_model(str(tmp_path / "net.pt")).module(x), before)
    assert before.any()


# -- the user's own classes --------------------------------------------------------------------

NETS = """
import torch
from torch import nn
from snncc import nn as snn

class Config:
    def __init__(self):
        self.width = 4

class Net(nn.Module):
    made = 0

    def __init__(self):
        super().__init__()
        type(self).made += 1
        self.config = Config()
        self.norm_layer = nn.BatchNorm2d
        self.pair = (nn.Linear(2, 2), [nn.Identity()])
        self.fc = nn.Linear(4, 2)
        self.sn = snn.IF()

    def forward(self, x):
        return self.sn(self.fc(x))

class Fewer(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 2)

network = Net()
number = 3

def make():
    return Net()

def fails():
    raise ValueError("no such width")

def leaves():
    raise SystemExit(2)

def forgets():
    Net()

def needs(width):
    return Net()

def infinite():
    net = Net()
    net.fc.weight.data[1, 1] = float("inf")
    return net
"""


@pytest.fixture
def nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A module of the user's in the current directory, under a name that is new each time."""
    name = f"nets_{random.SystemRandom().getrandbits(64):x}"
    (tmp_path / f"{name}.py").write_text(NETS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    yield name
    sys.modules.pop(name, None)


def test_a_class_named_with_allow(nets: str, tmp_path: Path) -> None:
    made = open_model(f"{nets}:make").module
    own = [f"{nets}.Net", f"{nets}.Config"]
    before = type(made).made
    save_model(made, "net.pt", torch.zeros(2, 1, 4), allow=own)
    opened = open_model("net.pt", allow=own).module
    assert type(opened) is type(made)
    assert type(made).made == before  # its constructor did not run
    assert opened.config.width == 4
    assert opened.norm_layer is nn.BatchNorm2d
    assert isinstance(opened.pair[0], nn.Linear)
    assert isinstance(opened.pair[1][0], nn.Identity)
    assert opened(torch.ones(2, 1, 4)).shape == (2, 1, 2)


def test_a_class_nobody_allowed(nets: str) -> None:
    torch.save(open_model(f"{nets}:make").module, "net.pt")
    error = refused("SNN304", f"`{nets}.Config`, `{nets}.Net`", "net.pt")
    assert "--allow" in str(error)


def test_allow_wants_classes_that_are_there(nets: str, tmp_path: Path) -> None:
    save_model(network(), "net.pt", EXAMPLE)
    refused("SNN316", "`os.system` is not a class", "net.pt", allow=["os.system"])
    refused("SNN317", "no package `absent_package`", "net.pt", allow=["absent_package.Net"])
    refused("SNN317", "has no `torch.nn.Lanear`", "net.pt", allow=["torch.nn.Lanear"])
    refused("SNN317", "no package `Net`", "net.pt", allow=["Net"])


def test_a_class_from_a_script(tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    path.write_bytes(archive(glob("__main__", "Net") + EMPTY + NEWOBJ))
    assert "from the script" in str(refused("SNN304", "`__main__.Net`", path))


def test_a_listed_class_that_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpickle_module, "resolve", lambda name: resolve(f"absent_{name}"))
    save = tmp_path / "net.pt"
    torch.save(nn.Linear(2, 2), save)
    refused("SNN317", "there is no package `absent_torch`", save)


# -- saving refuses what could not be opened ---------------------------------------------------


class Foreign(nn.Module):
    pass


@pytest.mark.parametrize(
    ("module", "code", "match"),
    [
        (lambda: Foreign(), "SNN304", "Foreign`, not on the list"),
        (lambda: hooked(nn.Linear(2, 2)), "SNN304", "_dummy_hook`, not on the list"),
        (lambda: patched(nn.Linear(2, 2)), "SNN304", "relu`, not on the list"),
        (lambda: local_function(nn.Linear(2, 2)), "SNN304", "cannot save a whole Linear"),
        (lambda: nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)), "SNN304", "parametriz"),
        (lambda: filled(nn.Linear(2, 2), "bias", float("nan")), "SNN307", "`bias`.* NaN"),
        (lambda: filled(nn.BatchNorm1d(2), "running_var", float("inf")), "SNN307", "running_var"),
        (lambda: "net", "SNN316", "a str for a torch Module"),
    ],
)
def test_saving_refuses(tmp_path: Path, module: Callable[[], Any], code: str, match: str) -> None:
    path = tmp_path / "net.pt"
    path.write_text("the one before")
    with pytest.raises(SnnccError, match=match) as caught:
        save_model(module(), path, torch.zeros(1, 2))
    assert [finding.code for finding in caught.value.findings] == [code]
    assert path.read_text() == "the one before"
    assert os.listdir(tmp_path) == ["net.pt"]


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"example_input": [1, 2]}, "a list for a torch Tensor"),
        ({"example_input": torch.zeros(0, 2)}, "positive whole numbers"),
        ({"example_input": torch.tensor(1.0)}, "positive whole numbers"),
        ({"time_steps": 0}, "time_steps"),
        ({"layout": "NTC"}, "layout must be an order of T, N and F as TN, N, NT, NFT"),
        ({"input": "events"}, "input must be one of spike, count, analog"),
        ({"path": "net.bin"}, "does not end in .pt"),
    ],
)
def test_saving_refuses_arguments(tmp_path: Path, arguments: dict[str, Any], match: str) -> None:
    given = {"path": "net.pt", "example_input": EXAMPLE} | arguments
    given["path"] = tmp_path / given["path"]
    with pytest.raises(SnnccError, match=match) as caught:
        save_model(network(), **given)
    assert [finding.code for finding in caught.value.findings] == ["SNN316"]
    assert not os.listdir(tmp_path)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SnnccError, match="SNN305.*cannot be written"):
        save_model(network(), tmp_path / "absent" / "net.pt", EXAMPLE)


def hooked(module: nn.Module) -> nn.Module:
    module.register_forward_hook(_dummy_hook)
    return module


def _dummy_hook(module: nn.Module, given: Any, out: torch.Tensor) -> torch.Tensor:
    return out + 1


def patched(module: nn.Module) -> nn.Module:
    module.forward = torch.relu_ if False else nn.functional.relu  # type: ignore[method-assign]
    return module


def local_function(module: nn.Module) -> nn.Module:
    module.spike_grad = lambda x: x
    return module


def filled(module: nn.Module, name: str, value: float) -> nn.Module:
    getattr(module, name).data[0] = value
    return module


# -- files that would run code -----------------------------------------------------------------

EMPTY, NEWOBJ, REDUCE, BUILD, PROTO, STOP = b")", b"\x81", b"R", b"b", b"\x80\x02", b"."


def glob(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def text(value: str) -> bytes:
    return b"X" + len(value).to_bytes(4, "little") + value.encode()


def pair(*items: bytes) -> bytes:
    return b"(" + b"".join(items) + b"t"


def mapping(**items: bytes) -> bytes:
    return b"}(" + b"".join(text(key) + value for key, value in items.items()) + b"u"


LINEAR = ("torch.nn.modules.linear", "Linear")


def module(cls: tuple[str, str] = LINEAR, **state: bytes) -> bytes:
    """An nn.Module as pickled, with these entries of its state added or changed."""
    whole = dict.fromkeys(("_parameters", "_buffers", "_modules"), b"}")
    return glob(*cls) + EMPTY + NEWOBJ + mapping(**{**whole, **state}) + BUILD


def archive(body: bytes) -> bytes:
    """A zip as torch.save writes it, around the pickle of ``body``."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("archive/data.pkl", PROTO + body + STOP)
        file.writestr("archive/byteorder", "little")
        file.writestr("archive/version", "3\n")
    return buffer.getvalue()


def legacy(body: bytes) -> bytes:
    """The same as torch wrote it before 1.6."""
    head = [torch.serialization.MAGIC_NUMBER, torch.serialization.PROTOCOL_VERSION, {}]
    return (
        b"".join(pickle.dumps(value, 2) for value in head)
        + PROTO
        + body
        + STOP
        + pickle.dumps([], 2)
    )


def test_the_files_made_here_are_otherwise_good(tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    path.write_bytes(archive(module(in_features=b"K\x02")))
    assert open_model(str(path)).module.in_features == 2


def shell(canary: Path) -> bytes:
    return pair(text(f"touch {canary}"))


def python(canary: Path) -> bytes:
    return pair(text(f"__import__('pathlib').Path({str(canary)!r}).touch()"))


def touch(canary: Path) -> bytes:
    """A call of `Path.touch` through getattr, as a bound method is pickled."""
    path = glob("pathlib", "PosixPath") + pair(text(str(canary))) + REDUCE
    return glob("builtins", "getattr") + pair(path, text("touch")) + REDUCE + EMPTY + REDUCE


RUNS_CODE: dict[str, Callable[[Path], bytes]] = {
    "os.system": lambda c: glob("os", "system") + shell(c) + REDUCE,
    "posix.system": lambda c: glob("posix", "system") + shell(c) + REDUCE,
    "eval": lambda c: glob("builtins", "eval") + python(c) + REDUCE,
    "exec": lambda c: glob("builtins", "exec") + python(c) + REDUCE,
    "python 2's eval": lambda c: glob("__builtin__", "eval") + python(c) + REDUCE,
    "Popen": lambda c: (
        glob("subprocess", "Popen") + pair(pair(text("touch"), text(str(c)))) + REDUCE
    ),
    "a bound method": touch,
    "INST": lambda c: b"(" + text(f"touch {c}") + b"ios\nsystem\n",
    "OBJ": lambda c: b"(" + glob("os", "system") + text(f"touch {c}") + b"o",
    "STACK_GLOBAL": lambda c: text("os") + text("system") + b"\x93" + shell(c) + REDUCE,
    "in a dotted name": lambda c: glob("torch.nn.modules.linear", "os.system") + shell(c) + REDUCE,
    "in a module's state": lambda c: module(extra=glob("os", "system") + shell(c) + REDUCE),
    "behind a good module": lambda c: module() + b"0" + glob("os", "system") + shell(c) + REDUCE,
    "in a hook": lambda c: module(_forward_hooks=mapping(a=glob("os", "system"))),
    "in forward": lambda c: module(forward=glob("os", "system")),
    "in a rebuilt tensor": lambda c: (
        glob("torch._tensor", "_rebuild_from_type_v2")
        + pair(glob("os", "system"), glob("torch", "Tensor"), shell(c), b"}")
        + REDUCE
    ),
}


@pytest.mark.parametrize("wrap", [archive, legacy, lambda body: PROTO + body + STOP])
@pytest.mark.parametrize("attack", RUNS_CODE)
def test_code_is_refused_and_does_not_run(
    tmp_path: Path, attack: str, wrap: Callable[[bytes], bytes]
) -> None:
    path, canary = tmp_path / "net.pt", tmp_path / "canary"
    path.write_bytes(wrap(RUNS_CODE[attack](canary)))
    refused("SNN304", r"net.pt", path)
    assert not canary.exists()


@pytest.mark.parametrize("attack", ["os.system", "posix.system", "eval", "a bound method"])
def test_the_attacks_above_are_real(tmp_path: Path, attack: str) -> None:
    canary = tmp_path / "canary"
    pickle.loads(PROTO + RUNS_CODE[attack](canary) + STOP)
    assert canary.exists()


@pytest.mark.parametrize("protocol", range(6))
def test_a_plain_pickle_that_would_run_code(tmp_path: Path, protocol: int) -> None:
    canary = tmp_path / "canary"

    class Attack:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {canary}",)

    for name, data in (
        ("plain.pt", pickle.dumps(Attack(), protocol)),
        ("net.pt", archive(pickle.dumps(Attack(), protocol)[:-1])),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(SnnccError, match="SNN30[45]"):
            open_model(str(tmp_path / name))
    torch.save(Attack(), tmp_path / "saved.pt", pickle_protocol=max(protocol, 2))
    refused("SNN304", "saved.pt", tmp_path / "saved.pt")
    assert not canary.exists()


def test_every_foreign_class_is_named_at_once(tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    torch.save({"net": Foreign(), "path": Path("x"), "fc": nn.Linear(1, 1)}, path)
    error = refused("SNN304", "Foreign`", path)
    assert "pathlib" in str(error)
    assert "Linear" not in str(error)


def test_what_a_process_trusts_elsewhere_is_not_trusted_here(tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    torch.save(Foreign(), path)
    with torch.serialization.safe_globals([Foreign, nn.Linear, (os.system, "posix.system")]):
        before = set(torch.serialization.get_safe_globals())
        refused("SNN304", "Foreign`", path)
        torch.save(nn.Linear(2, 2), path)
        assert type(open_model(str(path)).module) is nn.Linear
        assert set(torch.serialization.get_safe_globals()) == before
    path.write_bytes(archive(glob("os", "system") + shell(tmp_path / "canary") + REDUCE))
    refused("SNN304", "system`", path)


def test_what_a_file_says_cannot_reach_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    path.write_bytes(archive(glob("evil\x1b[2J\r", "N\u2028et") + EMPTY + NEWOBJ))
    error = refused("SNN304", r"`evil\?\[2J\?.N\?et`", path)
    assert str(error).isprintable()
    many = b"".join(glob("evil", f"N{i}" + "x" * 999) for i in range(99))
    path.write_bytes(archive(many))
    error = refused("SNN304", "and 79 more", path)
    assert len(str(error)) < 6000


CONV = ("torch.nn.modules.conv", "Conv2d")
SEQUENTIAL = ("torch.nn.modules.container", "Sequential")
TWISTS = {
    "an allowed class called": (
        glob(*CONV) + pair(b"K\x01", b"K\x01", b"K\x01") + REDUCE,
        "calls the constructor of torch.nn.modules.conv.Conv2d",
    ),
    "an allowed module called": (
        glob("torch._tensor", "_rebuild_from_type_v2")
        + pair(module(SEQUENTIAL), glob(*LINEAR), pair(module()), b"}")
        + REDUCE,
        "damaged",
    ),
    "forward replaced by a module": (module(forward=module(CONV)), "overrides `forward`"),
    "a method replaced by data": (module(parameters=b"K\x01"), "overrides `parameters`"),
    "a method replaced by a class": (module(eval=glob(*CONV)), "overrides `eval`"),
    "__call__ replaced": (module(_call_impl=module(CONV)), "overrides `_call_impl`"),
    "the compiled call replaced": (module(_compiled_call_impl=module(CONV)), "_compiled_call_impl"),
    "a module as a hook": (
        module(_forward_hooks=mapping(a=module())),
        r"hooks \(`_forward_hooks`\)",
    ),
    "a state dict hook": (module(_state_dict_hooks=mapping(a=module())), "_state_dict_hooks"),
    "torch's own function": (module(f=glob("torch._utils", "_rebuild_tensor")), "not plain data"),
    "a type": (module(f=glob("builtins", "set")), "not plain data"),
    "a storage": (module(f=glob("torch", "FloatStorage")), "not plain data"),
    "a list for a state": (glob(*LINEAR) + EMPTY + NEWOBJ + b"]" + BUILD, "not plain data"),
    "slots for a state": (glob(*LINEAR) + EMPTY + NEWOBJ + pair(b"}", b"}") + BUILD, "not plain"),
    "attributes on a dict": (
        module(
            _modules=glob("collections", "OrderedDict")
            + EMPTY
            + REDUCE
            + mapping(items=b"N")
            + BUILD
        ),
        "`_modules`",
    ),
    "attributes on another dict": (
        module(
            extra=glob("collections", "OrderedDict") + EMPTY + REDUCE + mapping(items=b"N") + BUILD
        ),
        "not plain data",
    ),
    "a module as a key": (module(f=b"}" + module() + b"Ns"), "not plain data"),
    "a module in a Linear's place": (module(_parameters=mapping(weight=module())), "`_parameters`"),
    "a number among the modules": (module(_modules=mapping(a=b"K\x01")), "`_modules`"),
    "a class among the modules": (module(_modules=mapping(a=glob(*CONV))), "`_modules`"),
    "a surrogate among the modules": (
        module(_modules=mapping(a=glob("snncc.nn.surrogate", "ATan") + EMPTY + NEWOBJ)),
        "`_modules`",
    ),
    "no state": (glob(*LINEAR) + EMPTY + NEWOBJ, "damaged"),
    "a surrogate alone": (glob("snncc.nn.surrogate", "ATan") + EMPTY + NEWOBJ, "no network"),
    "inside itself": (
        glob(*SEQUENTIAL)
        + EMPTY
        + NEWOBJ
        + b"q\x00"
        + mapping(_parameters=b"}", _buffers=b"}", _modules=mapping(a=b"h\x00"))
        + BUILD,
        "eval mode",
    ),
    "a list without end": (b"]" * 200_000 + b"a" * 199_999, "no network"),
    "a tuple without end": (b")" + b"\x85" * 200_000, "recursion"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TWISTS)
def test_twisted_files(tmp_path: Path, name: str) -> None:
    body, match = TWISTS[name]
    path = tmp_path / "net.pt"
    path.write_bytes(archive(body))
    with pytest.raises(SnnccError, match=match) as caught:
        open_model(str(path))
    assert {finding.code for finding in caught.value.findings} <= {"SNN304", "SNN305"}


def test_where_the_trouble_is(tmp_path: Path) -> None:
    inner = module(SEQUENTIAL, _modules=mapping(conv1=module(CONV, forward=module())))
    path = tmp_path / "net.pt"
    path.write_bytes(archive(module(SEQUENTIAL, _modules=mapping(layer1=inner))))
    error = refused("SNN304", "a Conv2d in .* overrides `forward` of its class", path)
    assert error.findings[0].location.module == "layer1.conv1"


def test_storages_are_as_long_as_they_say(tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    torch.save(nn.Linear(4, 1, bias=False), path)
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(tmp_path / "long.pt", "w") as target:
        for name in source.namelist():
            data = source.read(name)
            if name.endswith("data.pkl"):
                longer = data.replace(b"K\x04t", b"M\xff\xfft")
                assert longer != data
                data = longer
            target.writestr(name, data)
    refused("SNN305", "damaged", tmp_path / "long.pt")


@pytest.mark.parametrize("tensor", [torch.eye(2).to_sparse(), torch.zeros(2, device="meta")])
def test_tensors_without_plain_weights(tmp_path: Path, tensor: torch.Tensor) -> None:
    net = nn.Linear(2, 2)
    net.register_buffer("odd", tensor)
    torch.save(net, tmp_path / "net.pt")
    refused("SNN305", "sparse, quantized or without data", tmp_path / "net.pt")


def test_an_old_torch_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_model(network(), tmp_path / "net.pt", EXAMPLE)
    monkeypatch.setattr(torch, "__version__", "2.9.1+cpu")
    refused("SNN317", "2.9.1.*install torch 2.10", tmp_path / "net.pt")


# -- files that are no network -----------------------------------------------------------------


def test_state_dicts_need_an_architecture(tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    for content in (network().state_dict(), {"model": network().state_dict(), "epoch": 3}):
        for zipped in (True, False):
            torch.save(content, path, _use_new_zipfile_serialization=zipped)
            error = refused("SNN304", "weights without the network", path)
            assert f"package.module:factory --weights {path}" in str(error)


def test_a_whole_module_in_the_old_format(tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    torch.save(nn.Linear(2, 2), path, _use_new_zipfile_serialization=False)
    refused("SNN304", "format from before 1.6", path)


def test_torchscript(tmp_path: Path) -> None:
    torch.jit.script(nn.Linear(2, 2)).save(tmp_path / "net.pt")
    refused("SNN304", "TorchScript archive", tmp_path / "net.pt")


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", "is empty"),
        (b"not a checkpoint\n", "neither a zip nor a pickle"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "neither a zip nor a pickle"),
        (b"PK\x03\x04", "damaged or cut short"),
        (b"\x80\x02", "damaged or cut short"),
        (b"\x80", "damaged or cut short"),
    ],
)
def test_files_that_are_no_checkpoint(tmp_path: Path, data: bytes, match: str) -> None:
    (tmp_path / "net.pt").write_bytes(data)
    refused("SNN305", match, tmp_path / "net.pt")


def test_other_zips(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "net.pt", "w") as file:
        file.writestr("inputs.npy", b"")
    refused("SNN305", "not one that torch.save wrote", tmp_path / "net.pt")


@pytest.mark.parametrize("content", [3, [network()], {}, {"a": network(), "b": network()}])
def test_contents_that_are_no_network(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "net.pt")
    refused("SNN305", "holds (no|2) network", tmp_path / "net.pt")


def test_facts_are_checked_when_read(tmp_path: Path) -> None:
    facts = {"snncc": "0.1", "module": nn.Linear(2, 2), "shape": (1, 2), "dtype": torch.float32}
    path = tmp_path / "net.pt"
    torch.save(facts, path)
    assert open_model(str(path)).shape == (1, 2)
    for wrong in ({"shape": (1, -2)}, {"shape": "12"}, {"dtype": "f"}, {"layout": ["TN"]}):
        torch.save(facts | wrong, path)
        refused("SNN305", "damaged: ", path)


def test_names_that_lead_nowhere(tmp_path: Path) -> None:
    refused("SNN305", "does not exist", tmp_path / "absent.pt")
    (tmp_path / "folder.pt").mkdir()
    refused("SNN305", "Is a directory", tmp_path / "folder.pt")
    refused("SNN305", "does not exist", tmp_path / "net.nir")
    for suffix in (".pt2", ".onnx"):
        refused("SNN305", "does not exist", tmp_path / f"net{suffix}")
    (tmp_path / "net.bin").write_bytes(b"")
    refused("SNN305", "not a kind of model", tmp_path / "net.bin")
    refused("SNN305", "does not exist", "nowhere")
    refused("SNN305", "does not exist", "a.b:c-d")
    (tmp_path / "net.pt").write_bytes(b"")
    refused("SNN316", "brings its own weights", tmp_path / "net.pt", weights=tmp_path / "w.pt")


# -- damage ------------------------------------------------------------------------------------


def small() -> bytes:
    buffer = io.BytesIO()
    content = {
        "snncc": "0.1",
        "module": nn.Sequential(nn.Linear(2, 1), snn.IF()),
        "shape": (1, 2),
        "dtype": torch.float32,
    }
    torch.save(content, buffer)
    return buffer.getvalue()


SMALL = small()


def opens_or_is_refused(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    error: SnnccError | None = None
    try:
        opened = open_model(str(path))
    except SnnccError as raised:
        error = raised
    if error is None:
        assert isinstance(opened, Checkpoint)
        assert isinstance(opened.module, nn.Module)
    else:
        assert error.exit_code == Exit.BAD_INPUT
        assert "\n" not in str(error)


def test_cut_anywhere(tmp_path: Path) -> None:
    for end in range(0, len(SMALL), 17):
        (tmp_path / "net.pt").write_bytes(SMALL[:end])
        refused("SNN305", "empty|cut short|neither|not one", tmp_path / "net.pt")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("damaged")


@pytest.mark.slow
@given(
    st.lists(st.tuples(st.integers(0, len(SMALL) - 1), st.integers(0, 255)), min_size=1, max_size=4)
)
@settings(max_examples=300, deadline=None)
def test_bytes_changed_anywhere(folder: Path, changes: list[tuple[int, int]]) -> None:
    data = bytearray(SMALL)
    for place, byte in changes:
        data[place] = byte
    opens_or_is_refused(folder / "net.pt", bytes(data))


def pickled(data: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        return file.read("archive/data.pkl")


@pytest.mark.slow
@given(
    st.integers(0, len(pickled(SMALL)) - 1),
    st.integers(0, len(pickled(SMALL)) - 1),
    st.binary(max_size=3),
)
@settings(max_examples=400, deadline=None)
def test_the_pickle_changed_anywhere(folder: Path, start: int, end: int, put: bytes) -> None:
    """The same with checksums that are right, so that the damage reaches the unpickler."""
    body = pickled(SMALL)
    body = body[:start] + put + body[max(start, min(end, start + 3)) :]
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(SMALL)) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            new.writestr(name, body if name.endswith("data.pkl") else old.read(name))
    opens_or_is_refused(folder / "net.pt", buffer.getvalue())


# -- factories ---------------------------------------------------------------------------------


def test_a_factory_is_called(nets: str) -> None:
    opened = open_model(f"{nets}:make")
    assert type(opened.module).__name__ == "Net"
    assert not opened.module.training
    assert (opened.shape, opened.dtype, opened.time_steps) == (None, None, None)
    assert opened.source == f"{nets}:make"
    assert len(opened.sha256) == 64
    assert open_model(f"{nets}:Net").module.training is False


def test_the_hash_of_a_factory_is_that_of_its_weights(nets: str) -> None:
    first, second = (open_model(f"{nets}:network") for _ in range(2))
    assert first.module is second.module
    assert first.sha256 == second.sha256
    with torch.no_grad():
        first.module.fc.weight[0, 0] += 1
    assert open_model(f"{nets}:network").sha256 != first.sha256


@pytest.mark.parametrize(
    ("name", "code", "match"),
    [
        ("mak", "SNN313", "has no `mak`; it has `make`"),
        ("zzzz", "SNN313", "it has `Config`, `Net`.*`make`.*pick one of the names listed"),
        ("Net.absent", "SNN313", "has no `absent`"),
        ("fails", "SNN314", "failed: ValueError: no such width"),
        ("leaves", "SNN314", "failed: SystemExit: 2"),
        ("forgets", "SNN314", "returned a NoneType"),
        ("needs", "SNN314", "missing 1 required positional argument"),
        ("number", "SNN314", "is a int and cannot be called"),
        ("infinite", "SNN307", "`fc.weight` in .*:infinite holds NaN or infinity"),
    ],
)
def test_factories_that_do_not_work(nets: str, name: str, code: str, match: str) -> None:
    refused(code, match, f"{nets}:{name}")


def test_modules_that_cannot_be_imported(nets: str, tmp_path: Path) -> None:
    refused("SNN313", "no module `absent_module`", "absent_module:make")
    refused("SNN313", f"no module `{nets}.sub`", f"{nets}.sub:make")
    for name, code, match in (
        (f"{nets}_needs", "import absent_module", "No module named 'absent_module'"),
        (f"{nets}_syntax", "def make(:", "SyntaxError"),
        (f"{nets}_quits", "raise SystemExit('usage: ...')", "SystemExit: usage"),
    ):
        (tmp_path / f"{name}.py").write_text(code)
        refused("SNN314", f"importing `{name}` failed: .*{match}", f"{name}:make")


@pytest.mark.parametrize(
    "content",
    [
        lambda weights: weights,
        lambda weights: {"state_dict": weights, "optimizer": {"lr": 0.1, "state": {}}, "epoch": 3},
        lambda weights: OrderedDict((f"module.{name}", w) for name, w in weights.items()),
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_weights_are_loaded(nets: str, content: Callable[[Any], Any], zipped: bool) -> None:
    weights = open_model(f"{nets}:make").module.state_dict()
    weights["fc.bias"] = torch.tensor([5.0, 7.0])
    torch.save(content(weights), "weights.pth", _use_new_zipfile_serialization=zipped)
    opened = open_model(f"{nets}:make", weights="weights.pth")
    assert opened.module.fc.bias.tolist() == [5, 7]
    assert opened.sha256 == hashlib.sha256(Path("weights.pth").read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda w: w.pop("fc.bias"), "w.pt lacks fc.bias; give the weights"),
        (lambda w: w.update(gc=torch.ones(1)), "has the unknown gc;"),
        (lambda w: w.update({"fc.bias": torch.ones(3)}), r"fc.bias \(3,\) instead of \(2,\)"),
        (lambda w: w.clear(), "no state dict"),
        (lambda w: w.update(fc=3), "no state dict"),
    ],
)
def test_weights_that_do_not_fit(nets: str, change: Callable[[Any], Any], match: str) -> None:
    weights = dict(open_model(f"{nets}:Fewer").module.state_dict())
    change(weights)
    torch.save(weights, "w.pt")
    refused("SNN305", match, f"{nets}:Fewer", weights="w.pt")


def test_every_misfit_is_said_at_once(nets: str) -> None:
    torch.save({f"x{i}": torch.ones(1) for i in range(5)}, "w.pt")
    with pytest.raises(SnnccError) as caught:
        open_model(f"{nets}:Fewer", weights="w.pt")
    assert [(finding.code, finding.message) for finding in caught.value.findings] == [
        ("SNN305", "w.pt lacks fc.weight, fc.bias"),
        ("SNN305", "w.pt has the unknown x0, x1, x2 and 2 more"),
    ]


def test_weights_that_cannot_be_used(nets: str, tmp_path: Path) -> None:
    make = f"{nets}:Fewer"
    refused("SNN305", "No such file", make, weights="absent.pt")
    torch.save(nn.Linear(2, 2), "whole.pt")
    refused("SNN304", "asks for `torch.nn.modules.linear.Linear`", make, weights="whole.pt")
    weights = open_model(make).module.state_dict()
    torch.save({"a": weights, "b": weights}, "two.pt")
    refused("SNN305", "several state dicts, under `a`, `b`", make, weights="two.pt")
    weights["fc.weight"][0, 0] = float("nan")
    torch.save(weights, "nan.pt")
    refused("SNN307", "`fc.weight` in nan.pt", make, weights="nan.pt")
    canary = tmp_path / "canary"
    Path("evil.pt").write_bytes(archive(glob("os", "system") + shell(canary) + REDUCE))
    refused("SNN304", "system`", make, weights="evil.pt")
    assert not canary.exists()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_left_alone(tmp_path: Path, dtype: torch.dtype) -> None:
    save_model(nn.Linear(2, 2).to(dtype), tmp_path / "net.pt", torch.zeros(1, 2, dtype=dtype))
    opened = open_model(str(tmp_path / "net.pt"))
    assert opened.dtype is opened.module.weight.dtype is dtype
