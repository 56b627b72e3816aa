"""snncc show --format: for Graphviz, and as a page."""

from __future__ import annotations

import networkx as nx

import snncc


def test_a_program_as_a_page(run, program, read_page):
    result = run("show", program, "--format", "html")
    assert result.exit_code == 0, result.output
    said = read_page(result.stdout)
    with open(program / "report.html", encoding="utf-8") as file:
        whole = read_page(file.read())
    assert said == whole.replace("report.json beside this page has every value of it. ", "")


def test_a_network_and_a_graph_for_graphviz(run, program):
    loaded = snncc.load(program)
    for form, names in (("network", loaded.network.places), ("graph", loaded.graph.nodes)):
        result = run("show", program, "--format", "dot", "--form", form)
        assert result.exit_code == 0, result.output
        lines = result.stdout.splitlines()
        assert lines[0].startswith("digraph ")
        assert [line.split('"')[1] for line in lines if "shape=" in line] == list(names)
        arrows = [line.split('"') for line in lines if "->" in line]
        drawn = nx.DiGraph((parts[1], parts[3]) for parts in arrows)
        assert set(drawn) <= set(names)
        assert len(arrows) >= len(names) - 1
