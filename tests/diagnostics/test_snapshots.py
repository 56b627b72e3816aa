"""One example of each code, and how it is printed.

``SNNCC_SNAPSHOTS=write pytest tests/diagnostics/test_snapshots.py`` writes the files anew; what a
change did to them is then in its diff. Lines of code stand for their numbers.
"""

from __future__ import annotations

import json
import linecache
import os
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import nn
from wrong_models import WRONG

import snncc
from snncc.backends.onnx import export
from snncc.cli import main
from snncc.diagnostics import RULES, Finding, SnnccError
from snncc.diagnostics.render import text
from snncc.frontends.checkpoints import open_model, save_model
from snncc.frontends.data import open_recordings
from snncc.frontends.data.encoders import Poisson
from snncc.frontends.data.values import unlike
from snncc.frontends.torch.calls import HANDLERS
from snncc.ir.text import parse_graph, parse_network
from snncc.passes.balance_delays import BalanceDelays
from snncc.passes.check_stock import CheckStock
from snncc.passes.partition import Partition
from snncc.passes.quantize import Quantize
from snncc.targets import chip

SNAPSHOTS = Path(__file__).parent / "snapshots"
NET = nn.Sequential(nn.Linear(8, 8), snncc.nn.IF())


def shape_missing(folder: Path) -> None:
    torch.save(NET, folder / "net.pt")
    raise_what_is_said(folder, "check", "net.pt")


def unsafe_file(folder: Path) -> None:
    class Code:
        def __reduce__(self):
            return os.system, ("touch ran",)

    torch.save({"weight": Code()}, folder / "net.pt")
    open_model(folder / "net.pt")


def unreadable_file(folder: Path) -> None:
    (folder / "net.pt").write_bytes(b"PK\x03\x04 cut off")
    open_model(folder / "net.pt")


def bad_data(folder: Path) -> None:
    np.savez(folder / "data.npz", images=np.zeros((4, 3, 8)))
    open_recordings(folder / "data.npz", {"TN": (4, 1, 8)}, input="spike")


def unrepeatable_data(folder: Path) -> None:
    open_recordings("itertools:count", {"TN": (4, 1, 8)})


def unlike_range(folder: Path) -> None:
    np.save(folder / "images.npy", np.arange(256.0).reshape(4, 8, 8))
    with open_recordings(folder / "images.npy", {"TN": (4, 1, 8)}, input="analog") as recordings:
        raise SnnccError(unlike((0, 1), recordings.range, recordings.name))


def no_probabilities(folder: Path) -> None:
    np.save(folder / "images.npy", np.arange(256.0).reshape(32, 8))
    takes = {"TN": (4, 1, 8)}
    with open_recordings(folder / "images.npy", takes, encode=Poisson()) as recordings:
        raise SnnccError(recordings.findings)


def no_such_name(folder: Path) -> None:
    raise SnnccError(snncc.check(NET, torch.ones(4, 1, 8), head="spikes").findings)


def bad_option(folder: Path) -> None:
    snncc.save_model(NET, folder / "net.bin", torch.ones(4, 1, 8))


def tool_missing(folder: Path) -> None:
    torch.save(NET, folder / "net.pt")
    open_model(folder / "net.pt", allow=["absent_package.Net"])


def chip_file(folder: Path) -> None:
    ours = (Path(chip.__file__).parent / "loihi1.toml").read_text()
    (folder / "mine.toml").write_text(ours.replace("neurons = {", "neurones = {"))
    chip.load_chip(folder / "mine.toml")


def mapped_to(small: Mapping[str, object], module: nn.Module, *shape: int) -> Callable[..., None]:
    """Map ``module`` to a Loihi 1 with other constants, and raise all that is said."""

    def example(folder: Path) -> None:
        text = (Path(chip.__file__).parent / "loihi1.toml").read_text()
        text = text.replace('name = "loihi1"', 'name = "small"')
        for key, value in small.items():
            shown = json.dumps(value)
            text, found = re.subn(rf"(?m)^({key} = {{ value = )[^,]+", rf"\g<1>{shown}", text)
            assert found == 1
        (folder / "small.toml").write_text(text)
        target = str(folder / "small.toml")
        raise SnnccError(
            snncc.check(module.eval(), torch.ones(4, 1, *shape), target, input="spike").findings
        )

    return example


def delay_too_long(folder: Path) -> None:
    network = parse_network("""
    network loop {
      source %in [2] spike
      neuron %a [2] {}
        %in -> %a
        %a -> %a after 70
    }""")
    raise SnnccError(Partition("loihi1")(network).findings)


def mapping_over_limits(folder: Path) -> None:
    program = snncc.compile(NET.eval(), torch.ones(4, 1, 8), "loihi1", input="spike")
    small = replace(chip.built_in("loihi1"), name="small", neurons=7)
    snncc.simulate(program, torch.ones(4, 1, 8), level="cycle", chip=small)


SKIP = """
network skip {
  source %in [3] spike
  neuron %a [3] {}
    %in -> %a
  neuron %b [3] {}
    %a -> %b
  neuron %c [3] {}
    %a -> %c
    %b -> %c
}
"""


def relays_too_many(folder: Path) -> None:
    raise SnnccError(BalanceDelays(limit=2)(parse_network(SKIP)).findings)


def delay_not_stock(folder: Path) -> None:
    delayed = BalanceDelays(delays=1)(parse_network(SKIP)).form
    raise SnnccError(CheckStock()(delayed).findings)


def quantized(neuron: str, **options: object) -> Callable[[Path], None]:
    def run(folder: Path) -> None:
        text = "network net {\n source %in [2] spike\n neuron %a [2] {THIS}\n  %in -> %a\n}"
        outcome = Quantize(**options)(parse_network(text.replace("THIS", neuron)))
        raise SnnccError(outcome.findings)

    return run


NORM = nn.BatchNorm2d(2)
NORM.weight.data = torch.tensor([1.0, 2.0])
NORMALISED = nn.Sequential(
    snncc.nn.OverTime(nn.Sequential(nn.Conv2d(1, 2, 3), NORM)), snncc.nn.IF()
)
ONE = {"neurons": 1, "tile_columns": 1, "tile_rows": 1}


class Calls(nn.Module):
    """A network that is read well and yet is another one at some calls."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.fc, self.sn, self.calls = nn.Linear(8, 8), snncc.nn.IF(threshold=0.1), 0


class BranchOnSamples(Calls):
    def forward(self, x):
        return self.sn(self.fc(1 - x if x.shape[1] > 16 else x))


class CountsCalls(Calls):
    def forward(self, x):
        self.calls += 1
        return self.sn(self.fc(x) * self.calls)


class Loud(Calls):
    def forward(self, x):
        with ThreadPoolExecutor(1) as pool:  # where no recording sees it
            if pool.submit(lambda: bool(x.sum(-1).max() == 0)).result():
                raise ValueError("nothing to see")
        return self.sn(self.fc(x))


def compiled(module: type[nn.Module]) -> Callable[[Path], None]:
    def compile(folder: Path) -> None:
        program = snncc.compile(module(), torch.ones(4, 3, 8), "reference", input="spike")
        raise SnnccError(program.findings)

    return compile


def no_form_in_format(folder: Path) -> None:
    graph = parse_graph(
        """graph big steps=3 {
          %input = input{kind='spike'} : step [9000] {0,1}
          %map = sparse{data=@d, indices=@i, indptr=@p, shape=(9000,)} %input : step [9000] real
          %out = spiking %map : step [9000] {0,1}
          head 0 = %out
          tensor @d float64 [1] = [1.0]
          tensor @i int64 [1] = [0]
          tensor @p int64 [9001]
        }""",
        {"p": np.minimum(np.arange(9001), 1)},
    )
    export(graph, folder / "net.onnx")


def misread(folder: Path) -> None:
    """A handler that takes one function for another."""
    with mock.patch.dict(HANDLERS, {"abs": HANDLERS["relu"]}):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(8, 8), Absolute(), snncc.nn.IF()).eval()
        raise SnnccError(snncc.check(net, torch.ones(4, 3, 8)).findings)


class Absolute(nn.Module):
    def forward(self, x):
        return torch.abs(x)


def said_in_metadata(folder: Path) -> None:
    from snncc.backends.nir import export as export_nir

    net = nn.Sequential(nn.Linear(8, 8), snncc.nn.IF(reset="soft")).eval()
    graph = snncc.trace(net, torch.ones(4, 1, 8), input="spike")
    raise SnnccError(export_nir(graph, folder / "net.nir").notes)


def read_layers(neurons: str) -> Callable[[Path], None]:
    """What the reader of Lava-DL says of an input layer with such neurons."""

    def read(folder: Path) -> None:
        import h5py

        path = folder / "network.net"
        with h5py.File(path, "w") as file:
            layer = file.create_group("layer/0")
            layer["type"], layer["shape"], layer["neuron/type"] = "input", [1, 2, 2], neurons
            for name, value in {"iDecay": 4096, "vDecay": 1024, "vThMant": 25}.items():
                layer[f"neuron/{name}"] = value
        raise SnnccError(open_model(str(path)).notes)

    return read


def read_equations(name: str) -> Callable[[Path], None]:
    """A NIR file, which does not say how its equations become steps."""

    def read(folder: Path) -> None:
        from snncc.frontends.nir.opening import open_nir

        files = Path(__file__).parents[1] / "frontends" / "nir" / "files"
        shutil.copy(files / f"{name}.nir", folder / "net.nir")
        here = os.getcwd()
        os.chdir(folder)
        try:
            raise SnnccError(open_nir("net.nir").notes)
        finally:
            os.chdir(here)

    return read


def made_by_a_call(folder: Path, *allow: str) -> None:
    """Open a file that names a factory; raise what is said, of code that changed since."""
    path = folder / "net.pt"
    save_model(nn.Identity(), path, torch.zeros(1, 2), factory=nn.Identity)
    torch.save(torch.load(path) | {"code": {"nets": "0" * 64}}, path)
    raise SnnccError(open_model(str(path), allow=allow).notes)


BY_HAND: dict[str, Callable[[Path], None]] = {
    "SNN201": mapped_to({"thresholds": "layer"}, NORMALISED, 1, 4, 4),
    "SNN202": delay_not_stock,
    "SNN204": mapped_to({"synapse_words": 7}, NET, 8),
    "SNN205": mapped_to({"fan_in_lists": 7}, NET, 8),
    "SNN206": mapped_to({"neurons": 1, "fan_out_axons": 7}, NET, 8),
    "SNN207": mapped_to({"neurons": 1, "routing_entries": 7}, NET, 8),
    "SNN208": mapped_to({**ONE, "chips": 5}, NET, 8),
    "SNN209": delay_too_long,
    "SNN210": mapped_to({"neurons": 8}, nn.Sequential(nn.Linear(64, 1), snncc.nn.IF()), 64),
    "SNN212": relays_too_many,
    "SNN214": quantized("threshold=-0.5"),
    "SNN215": mapping_over_limits,
    "SNN303": shape_missing,
    "SNN304": unsafe_file,
    "SNN305": unreadable_file,
    "SNN312": bad_data,
    "SNN313": no_such_name,
    "SNN316": bad_option,
    "SNN317": tool_missing,
    "SNN320": chip_file,
    "SNN321": compiled(BranchOnSamples),
    "SNN322": compiled(CountsCalls),
    "SNN323": misread,
    "SNN324": no_form_in_format,
    "SNN330": read_layers("SDNN"),
    "SNN340": unrepeatable_data,
    "SNN350": made_by_a_call,
    "SNN351": lambda folder: save_model(
        snncc.nn.IF(threshold=0.5), folder / "net.pt", torch.zeros(2, 1, 4), factory=snncc.nn.IF
    ),
    "SNN506": quantized("threshold=1.0"),
    "SNN508": compiled(Loud),
    "SNN509": read_equations("export_lif_r_tau"),
    "SNN510": read_equations("sinabs_iaf"),
    "SNN511": said_in_metadata,
    "SNN515": read_layers("CUBA"),
    "SNN520": unlike_range,
    "SNN521": no_probabilities,
    "SNN530": lambda folder: made_by_a_call(folder, "torch.nn.modules.linear:Identity"),
}
"""Those that no network is to blame for."""


def raise_what_is_said(folder: Path, *arguments: str) -> None:
    """Raise what the command refuses."""
    here = os.getcwd()
    os.chdir(folder)
    try:
        done = CliRunner().invoke(main, list(arguments))
    finally:
        os.chdir(here)
    code, message = re.fullmatch(r"error\[(SNN\d+)\]: (.*)\n", done.stderr).groups()
    raise SnnccError((Finding(code, message.removesuffix(f"; {RULES[code].help}")),))


def example(code: str, folder: Path, request: pytest.FixtureRequest) -> Iterable[Finding]:
    """The findings of one thing that is wrong, ``code`` among them."""
    if code in BY_HAND:
        with pytest.raises(SnnccError) as caught:
            BY_HAND[code](folder)
        return caught.value.findings
    wrong = next((each for each in WRONG.values() if code in each.codes), None)
    assert wrong is not None, f"nothing in wrong_models.py is {code}"
    if wrong.needs:
        request.getfixturevalue(wrong.needs)
    return wrong.check().findings


def printed(findings: Iterable[Finding], folder: Path) -> str:
    """As text, with lines of code for their numbers and without the names of this machine."""
    shown = []
    for finding in findings:
        place = finding.location
        line = linecache.getline(place.file, place.line).strip() if place.line else ""
        file = f"{Path(place.file).name}: {re.sub(r'  # <- .*', '', line)}" if line else place.file
        where = f"{place.module} ({file})" if place.module and file else place.module or file
        place = replace(place, file="", module=where)
        shown.append(replace(finding, location=place))
    return text(shown).replace(f"{folder}{os.sep}", "") + "\n"


@pytest.mark.parametrize("code", RULES)
def test_a_code_is_printed_so(code, tmp_path, request):
    findings = example(code, tmp_path, request)
    assert code in {finding.code for finding in findings}
    said, snapshot = printed(findings, tmp_path), SNAPSHOTS / f"{code}.txt"
    if os.environ.get("SNNCC_SNAPSHOTS") == "write":
        SNAPSHOTS.mkdir(exist_ok=True)
        snapshot.write_text(said)
    assert said == snapshot.read_text()


def test_no_snapshot_is_left_over():
    assert {path.stem for path in SNAPSHOTS.iterdir()} == RULES.keys()
