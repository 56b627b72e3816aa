"""What a user installs: one import package, its types, its licence, and parts that load."""

from __future__ import annotations

import email
import importlib.metadata
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from torch import nn

import snncc
import snncc.backends
import snncc.nn
import snncc.passes
from snncc.backends.base import Backend
from snncc.cli.check import command as check
from snncc.cli.compile import command as compile
from snncc.frontends import named
from snncc.passes.base import Pass
from snncc.passes.reroll import Reroll
from snncc.targets import targets
from snncc.targets.chip import BUILT_IN

ROOT = Path(__file__).parents[1]
GROUPS = ("snncc.frontends", "snncc.neurons", "snncc.passes", "snncc.backends", "snncc.targets")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=60)
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


def test_the_wheel_holds_one_import_package(wheel):
    version = importlib.metadata.version("snncc")
    tops = {name.partition("/")[0] for name in wheel.namelist()}
    assert tops == {"snncc", f"snncc-{version}.dist-info"}


def test_the_wheel_holds_every_module_and_the_type_marker(wheel):
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "snncc").rglob("*.py")}
    assert modules | {"snncc/py.typed"} <= set(wheel.namelist())


def test_the_wheel_holds_the_files_of_our_chips(wheel):
    assert {f"snncc/targets/{name}.toml" for name in BUILT_IN} <= set(wheel.namelist())


def test_the_wheel_says_its_licence_and_python(wheel):
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    metadata = email.message_from_bytes(wheel.read(name))
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    assert any(name.endswith("licenses/LICENSE") for name in wheel.namelist())


@pytest.mark.parametrize("name", ["passes", "backends"])
def test_a_root_link_leads_into_the_package(name):
    link = ROOT / name
    assert str(link.readlink()) == f"snncc/{name}"
    assert link.resolve() == ROOT / "snncc" / name


@pytest.mark.parametrize("group", GROUPS)
def test_every_registered_part_loads(group):
    for part in importlib.metadata.entry_points(group=group):
        assert part.load() is not None, part


def declared(group):
    """What pyproject.toml registers, by name; a new entry is installed by installing again."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        return tomllib.load(file)["project"]["entry-points"][group]


def classes(room, base):
    """The classes in the modules of a room that derive from ``base``."""
    modules = [import_module(f"{room.__name__}.{m.name}") for m in iter_modules(room.__path__)]
    found = {c for m in modules for c in vars(m).values() if isinstance(c, type)}
    return {c for c in found if issubclass(c, base) and c.__module__.startswith(room.__name__)}


def test_every_pass_is_registered_by_its_name():
    registered = declared("snncc.passes")
    for cls in classes(snncc.passes, Pass) - {Pass, Reroll}:
        assert registered.get(cls.name) == f"{cls.__module__}:{cls.__name__}"
        assert cls.summary.endswith("."), f"`{cls.name}` has no summary for `snncc passes`"


def test_the_design_lists_the_passes_there_are():
    design = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    table = design.partition("| pass |")[2].partition("\n\n")[0]
    listed = {
        name
        for line in table.splitlines()[2:]
        for name in re.sub(r"\(.*\)", "", line.split("|")[1]).replace(",", " ").split()
    }
    assert listed == {*declared("snncc.passes"), Reroll.name}


def test_every_backend_is_registered_by_its_name():
    registered = declared("snncc.backends")
    for cls in classes(snncc.backends, Backend) - {Backend}:
        room = cls.__module__.rpartition(".")[0]
        assert registered.get(cls.name) == f"{room}:{cls.__name__}"
        assert any(cls.name in each.backends for each in targets()), cls


def test_every_block_can_be_in_a_file_and_every_neuron_has_a_reader():
    blocks = [cls for cls in classes(snncc.nn, nn.Module) if not cls.__name__.startswith("_")]
    assert {cls.__name__ for cls in blocks} <= set(snncc.nn.__all__)
    ours = [
        cls for cls in blocks if cls.__module__ == "snncc.nn.neurons" and cls.__name__ != "Neuron"
    ]
    assert {f"{c.__module__}.{c.__name__}" for c in ours} <= declared("snncc.neurons").keys()


def test_the_words_for_models_name_every_file_ending():
    endings = {f".{name}" for name in declared("snncc.frontends")}
    for said in (named._MODELS, check.help, compile.help):
        words = re.split(r"[\s,]+", said)
        assert endings <= {word.rstrip(",") for word in words}


def test_every_dependency_is_pinned():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {Requirement(line).name for line in lines if not line.startswith("#")}
    asked = {Requirement(line).name for line in importlib.metadata.requires("snncc") or ()}
    assert asked
    assert {canonicalize_name(name) for name in asked} <= {canonicalize_name(n) for n in pinned}
