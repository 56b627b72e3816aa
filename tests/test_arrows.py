"""Imports between modules go one way: no circle, and below a room nothing knows it."""

import ast
import itertools
from functools import cache
from pathlib import Path

import networkx as nx
import pytest

import snncc

ROOT = Path(snncc.__file__).parent
ROOMS = (
    "snncc.cli", "snncc.pipeline", "snncc.passes", "snncc.lowering", "snncc.recognition",
    "snncc.ir", "snncc.diagnostics",
)  # fmt: skip
BESIDE = ("snncc.mapping", "snncc.rounding", "snncc.lowering")
"""Rooms below the passes that do not know each other."""
SIDES = ("snncc.backends", "snncc.frontends")
"""Rooms beside the passes: these and the ir know neither."""


@cache
def imports() -> nx.DiGraph:
    modules = {
        ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(
            ".__init__"
        ): path
        for path in ROOT.rglob("*.py")
    }
    arrows = nx.DiGraph()
    arrows.add_nodes_from(modules)
    for name, path in modules.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("snncc"):
                for each in node.names:
                    within = f"{node.module}.{each.name}"
                    arrows.add_edge(name, within if within in modules else node.module)
            elif isinstance(node, ast.Import):
                arrows.add_edges_from((name, each.name) for each in node.names)
    return nx.freeze(arrows.subgraph(modules).copy())


def test_no_circle():
    arrows = imports()
    assert not [sorted(c) for c in nx.strongly_connected_components(arrows) if len(c) > 1]


@pytest.mark.parametrize(
    ("above", "below"),
    [
        *itertools.pairwise(ROOMS),
        *(("snncc.passes", room) for room in BESIDE),
        *itertools.permutations(BESIDE, 2),
        ("snncc.compiler", "snncc.program"),
        *((side, room) for side in SIDES for room in ("snncc.passes", "snncc.ir")),
        ("snncc.passes", "snncc.backends"),
        ("snncc.program", "snncc.backends"),
        ("snncc.program", "snncc.report"),
        *(("snncc.cli", room) for room in ("snncc.compiler", "snncc.program", "snncc.simulation")),
    ],
)
def test_a_room_does_not_know_those_above_it(above, below):
    arrows = imports()
    inside = [name for name in arrows if name == below or name.startswith(f"{below}.")]
    known = {name for start in inside for name in nx.descendants(arrows, start)}
    assert not [name for name in known if name == above or name.startswith(f"{above}.")]


def test_blocks_for_training_know_nothing_of_the_compiler():
    arrows = imports()
    inside = {name for name in arrows if name.startswith("snncc.nn.")}
    known = {name for start in inside for name in nx.descendants(arrows, start)}
    outside = known - inside - {"snncc.nn"}
    assert not {name for name in outside if not name.startswith("snncc.diagnostics")}
