"""Backends by name, with options; and parts of other packages, as entry points bring them."""

from __future__ import annotations

from importlib.metadata import EntryPoint, EntryPoints
from importlib.resources import files

import pytest

from snncc import registry
from snncc.backends import base
from snncc.backends.base import Backend, Emits, Replays, Runs, emitting, parse
from snncc.backends.cycle import Cycle
from snncc.backends.loihi import Lava
from snncc.backends.reference import Reference
from snncc.diagnostics import SnnccError
from snncc.targets import find_chip, target, targets


@pytest.mark.parametrize(
    ("spec", "backend"),
    [
        ("reference", Reference()),
        ("lava", Lava()),
        ("lava{stock-only=True}", Lava(stock_only=True)),
        ("cycle{level=count,workers=2}", Cycle("count", 2)),
    ],
)
def test_a_spec_names_a_backend_with_its_options(spec, backend):
    assert parse(spec) == backend
    assert str(backend) == spec


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("loihi", "SNN313.*there is no backend 'loihi'; there are .*cycle, lava, reference"),
        ("cycle{speed=3}", "SNN316.*backend cycle has no option 'speed'"),
        ("cycle{level=deep}", "SNN316.*level is cycle or count"),
        ("cycle{workers=many}", "SNN316.*'many' is no value for workers"),
        ("cycle{", "SNN316.*not of the form"),
    ],
)
def test_a_spec_that_is_none_is_a_sentence(spec, said):
    with pytest.raises(SnnccError, match=said):
        parse(spec)


def test_what_each_backend_does():
    for backend, does in ((Reference(), ()), (Lava(), (Emits, Runs)), (Cycle(), (Replays,))):
        assert tuple(p for p in (Emits, Runs, Replays) if isinstance(backend, p)) == does


def test_every_backend_of_a_target_is_there():
    for each in targets():
        assert set(each.backends) <= set(base.names())
        if each.emits:
            assert emitting(base.find(each.emits)()).package.isidentifier()
    with pytest.raises(SnnccError, match="SNN316.*'cycle' writes no package"):
        emitting(Cycle())


def test_every_backend_has_the_name_it_is_registered_by():
    for name in base.names():
        cls = base.find(name)
        assert issubclass(cls, Backend)
        assert cls.name == name
        assert target(cls.target).name == cls.target


# -- of other packages --------------------------------------------------------------------------


@pytest.fixture
def registered(monkeypatch, tmp_path):
    """Register ``name = value`` in a group; modules come from a folder of the test."""
    monkeypatch.syspath_prepend(tmp_path)
    own = {group: tuple(registry.installed(group)) for group in registry.KINDS}

    def register(group: str, *values: tuple[str, str]) -> None:
        more = [EntryPoint(name, value, group) for name, value in values]
        found = {**own, group: (*own[group], *more)}
        monkeypatch.setattr(registry, "installed", lambda group: EntryPoints(found[group]))

    return register


CHIP = """
from pathlib import Path
from snncc.targets import of_chip
from snncc.targets.chip import load_chip

TARGET = of_chip(load_chip(Path(__file__).with_name("mine.toml")))
"""


def test_a_chip_of_another_package_is_a_target(registered, tmp_path):
    text = (files("snncc.targets") / "loihi1.toml").read_text(encoding="utf-8")
    (tmp_path / "mine.toml").write_text(text.replace('"loihi1"', '"mine"'), encoding="utf-8")
    (tmp_path / "package_with_a_chip.py").write_text(CHIP, encoding="utf-8")
    registered(registry.TARGETS, ("mine", "package_with_a_chip:TARGET"))
    mine = target("mine")
    assert (mine.backends, mine.emits) == (("reference", "cycle"), "")
    assert mine in targets()
    assert find_chip("mine") == mine.chip


def test_a_package_that_cannot_be_imported_is_a_sentence(registered, tmp_path):
    (tmp_path / "broken_backend.py").write_text("import a_package_that_is_not_there")
    registered(registry.BACKENDS, ("broken", "broken_backend:Broken"))
    with pytest.raises(SnnccError, match="SNN317.*'broken'.*a_package_that_is_not_there"):
        parse("broken")


def test_a_target_that_cannot_be_imported_leaves_the_others(registered, tmp_path):
    (tmp_path / "broken_target.py").write_text("1 / 0")
    registered(registry.TARGETS, ("broken", "broken_target:TARGET"))
    assert target("loihi").name == "loihi"
    for find_all in (targets, lambda: target("broken"), lambda: find_chip("broken")):
        with pytest.raises(SnnccError, match="SNN317.*'broken'.*ZeroDivisionError"):
            find_all()
    with pytest.raises(SnnccError, match="SNN313.*there are loihi, reference, loihi1, .*broken"):
        target("nothing")


def test_two_packages_with_one_name_are_refused(registered):
    registered(registry.BACKENDS, ("lava", "another.package:Lava"))
    with pytest.raises(SnnccError, match="SNN316.*more than one package has a backend 'lava'"):
        parse("lava")
