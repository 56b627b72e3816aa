"""What a user installs: one import package, its types, its licence, and parts that load."""

from __future__ import annotations

import email
import importlib.metadata
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

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


def test_every_dependency_is_pinned():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {Requirement(line).name for line in lines if not line.startswith("#")}
    asked = {Requirement(line).name for line in importlib.metadata.requires("snncc") or ()}
    assert asked
    assert {canonicalize_name(name) for name in asked} <= {canonicalize_name(n) for n in pinned}
