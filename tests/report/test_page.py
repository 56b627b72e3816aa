"""The page and its JSON file hold the same values, and nothing of a value is run."""

from __future__ import annotations

import json
import xml.etree.ElementTree as Xml
from html.parser import HTMLParser

from snncc.report import Section, Table, as_dict, drawing, facts, page, undrawn, write
from snncc.report.charts import Edge, Node, bars, cells, lines, network

EVIL = '<script>alert("x")</script>'


class Values(HTMLParser):
    """The numbers of a page, table by table."""

    def __init__(self, text):
        super().__init__()
        self.tables = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        if tag == "tbody":
            self.tables.append([])
        if tag == "data":
            self.tables[-1].append(float(dict(attributes)["value"]))


def texts(picture, tag):
    """What stands in the elements of a picture that have this name."""
    root = Xml.fromstring(drawing.svg(picture.spec, picture.title))
    return [each.text for each in root.iter() if each.tag.endswith(f"}}{tag}")]


def report(name="a"):
    table = Table.of(
        "work",
        {"layer": "text", "AC": "count", "energy": "joule", "level": "count"},
        [(name, 1234, 1.5e-7, None), ("b", 0, 0.1 + 0.2, 3)],
    )
    spots = Table.of(
        "cores", {"x": "count", "y": "count", "load": "share"}, [(0, 0, 0.5), (3, 1, 1.0)]
    )
    pictures = (
        bars(table, "layer", "AC", says="How much."),
        cells(spots, "x", "y", "load", says="Where.", title="Mesh", numbers=True),
        lines(spots, "x", ["y", "load"], says="When.", title="Steps"),
        network([Node(name, "neuron", name), Node("b", "gate", "b")], [Edge(name, "b", EVIL, True)],
                says="What.", title="Net"),
    )  # fmt: skip
    return [
        Section("one", "One", (name,), (facts("facts", [("of", name)]), table, spots), pictures),
        Section("two", "Two", ("None.",)),
    ]


def test_every_number_of_the_page_is_in_its_json_file(tmp_path):
    write(tmp_path / "run.html", "title", report())
    said = json.loads((tmp_path / "run.json").read_text())
    assert said == json.loads(json.dumps(as_dict("title", report())))
    stored = [
        [float(v) for row in table["rows"] for v in row if isinstance(v, int | float)]
        for section in said["sections"]
        for table in section["tables"]
        if table["columns"][0]["title"] != "fact"
    ]
    text = (tmp_path / "run.html").read_text()
    assert Values(text).tables == stored
    assert "<code>run.json</code>" in text


def test_the_same_report_is_the_same_page():
    text = page("title", report())
    assert text == page("title", report())
    assert "url(" not in text  # names of parts of a picture are those of the process


def test_a_name_is_never_code():
    text = page(EVIL, report(EVIL))
    assert "<script" not in text
    assert text.count("&lt;script&gt;") > 5


def test_without_the_library_the_tables_are_the_same(monkeypatch):
    drawn = page("title", report())
    assert drawn.count("<svg") == 4
    monkeypatch.setattr(drawing, "is_here", lambda: False)
    bare = page("title", report())
    assert "<svg" not in bare
    assert 'pip install "snncc[report]"' in bare
    assert undrawn(bare) == undrawn(drawn) != undrawn(drawn.replace("1,234", "1,235"))


def test_a_mark_says_its_numbers_when_one_points_at_it():
    (section, _) = report()
    said = [texts(picture, "title") for picture in section.pictures]
    assert said[0] == ["a: 1,234", "b: 0"]
    assert said[1] == ["x 0, y 0: load 50.0 %", "x 3, y 1: load 100.0 %"]
    assert set(said[3]) == {"a", "b", EVIL}


def test_a_name_is_no_expression():
    name = '"]+datum+["'
    table = Table.of("t", {"layer": "text", "AC": "count"}, [(name, 1)])
    picture = bars(table, "layer", "AC", says="AC.")
    assert name in texts(picture, "text")


def test_of_many_rows_the_largest_are_drawn_and_it_says_so():
    table = Table.of("t", {"layer": "text", "AC": "count"}, [(f"l{k}", k) for k in range(100)])
    picture = bars(table, "layer", "AC", says="AC.", most=16)
    assert "The 16 largest of 100" in picture.says
    assert [row["value"] for row in picture.spec["data"]["values"]] == list(range(99, 83, -1))


def test_several_lines_have_one_legend():
    table = Table.of("t", {"step": "count", "a": "number", "b": "number"}, [(0, 1, 2), (1, 2, 3)])
    picture = lines(table, "step", ["a", "b"], says="Both.", title="Lines")
    said = [text for text in texts(picture, "text") if text in ("a", "b")]
    assert said == ["a", "b"]
