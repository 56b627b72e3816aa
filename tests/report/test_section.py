"""Values of a report: how numbers are written, and tables that hold together."""

from __future__ import annotations

import pytest

from snncc.report import Column, Table


@pytest.mark.parametrize(
    ("kind", "value", "written"),
    [
        ("count", 1234567, "1,234,567"), ("count", 0.25, "0.25"), ("count", 1234.56, "1,234.6"),
        ("share", 0.5, "50.0 %"), ("share", 0.000447, "0.045 %"), ("share", 0.0, "0.000 %"),
        ("joule", 1.24e-4, "124 µJ"), ("second", 0.0, "0 s"), ("decibel", 39.53, "39.5 dB"),
        ("number", 0.123456, "0.1235"), ("count", None, "–"),
        ("text", "stem_sn", "stem_sn"),
    ],
)  # fmt: skip
def test_how_a_value_is_written(kind, value, written):
    assert Column("c", kind).written(value) == written


def test_a_row_of_another_length_is_refused():
    with pytest.raises(ValueError, match="a row of 't' has not 2 values"):
        Table.of("t", {"a": "text", "b": "count"}, [("x", 1), ("y",)])


def test_a_row_in_one_line_leaves_out_what_is_not_there():
    table = Table.of("t", {"layer": "text", "AC": "count", "level": "count"}, [("a", 1200, None)])
    assert table.said(table.rows[0]) == "layer a: AC 1,200"
    assert [c.title for c in table.without_empty().columns] == ["layer", "AC"]
