"""Sections, tables and pictures, as values; how a number is written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Cell = str | int | float | None
"""A value of a table; None where there is none."""

Kind = Literal["text", "count", "number", "share", "joule", "second", "decibel"]
"""What the values of a column are; a "second" is in s, a "joule" in J, a "share" is 0 to 1."""


@dataclass(frozen=True)
class Column:
    """A column of a table: its title, and what its values are."""

    title: str
    kind: Kind = "text"

    def written(self, value: Cell) -> str:
        """The value as the page shows it: at least three digits of it, with its unit."""
        if value is None:
            return "–"
        if isinstance(value, str) or self.kind == "text":
            return str(value)
        match self.kind:
            case "count":
                return counted(value)
            case "share":
                return f"{value:.3%}".replace("%", " %") if value < 0.01 else f"{100 * value:.1f} %"
            case "joule":
                return quantity(value, "J")
            case "second":
                return quantity(value, "s")
            case "decibel":
                return f"{value:.1f} dB"
            case _:
                return f"{value:,.4g}"


@dataclass(frozen=True)
class Table:
    """Rows of values under the titles of their columns."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]

    @classmethod
    def of(cls, title: str, columns: Mapping[str, Kind], rows: Iterable[Iterable[Cell]]) -> Table:
        """A table of ``columns``, by title. Raises ValueError for a row of another length."""
        table = cls(
            title, tuple(Column(*each) for each in columns.items()), tuple(map(tuple, rows))
        )
        if any(len(row) != len(columns) for row in table.rows):
            raise ValueError(f"a row of {title!r} has not {len(columns)} values")
        return table

    @property
    def is_facts(self) -> bool:
        """Whether it is a list of facts (`facts`)."""
        return [column.title for column in self.columns] == ["fact", "value"]

    @property
    def is_words(self) -> bool:
        """Whether all of it is text."""
        return all(column.kind == "text" for column in self.columns)

    def column(self, title: str) -> int:
        """Where the column of that title stands. Raises KeyError."""
        for at, each in enumerate(self.columns):
            if each.title == title:
                return at
        raise KeyError(title)

    def said(self, row: tuple[Cell, ...]) -> str:
        """A row in one line: its first value, then the others with their titles."""
        more = (
            f"{column.title} {column.written(value)}"
            for column, value in zip(self.columns[1:], row[1:], strict=True)
            if value not in (None, "")
        )
        return f"{self.columns[0].title} {row[0]}: {', '.join(more)}"

    def without_empty(self) -> Table:
        """The same without columns that have no value in any row."""
        kept = [
            at
            for at in range(len(self.columns))
            if any(row[at] not in (None, "") for row in self.rows)
        ]
        return Table(
            self.title,
            tuple(self.columns[at] for at in kept),
            tuple(tuple(row[at] for at in kept) for row in self.rows),
        )


@dataclass(frozen=True)
class Picture:
    """A drawing of the values of a table of the same section.

    ``spec`` is a Vega-Lite specification (`snncc.report.charts`). ``says`` is one sentence: how to
    read the picture. ``folded``: it opens with a click.
    """

    title: str
    says: str
    spec: Mapping[str, Any] = field(compare=False, repr=False)
    folded: bool = False


@dataclass(frozen=True)
class Section:
    """A part of a report. ``key`` is its name in JSON and its address in the page.

    ``says`` are paragraphs. The pictures come before the tables; a table behind a picture is folded
    in, and opens with a click and in print.
    """

    key: str
    title: str
    says: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    pictures: tuple[Picture, ...] = ()


def facts(title: str, rows: Iterable[tuple[str, str]]) -> Table:
    """A table of facts, each with its name."""
    return Table.of(title, {"fact": "text", "value": "text"}, rows)


def counted(value: float) -> str:
    """1,234 and 0.25: whole numbers as they are, others with three digits or more."""
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:,.1f}" if abs(value) >= 100 else f"{value:.3g}"


def quantity(value: float, unit: str) -> str:
    """Three digits with a prefix: 12.3 µs."""
    for prefix, scale in (("", 1.0), ("m", 1e-3), ("µ", 1e-6), ("n", 1e-9), ("p", 1e-12)):
        if value >= scale:
            return f"{value / scale:.3g} {prefix}{unit}"
    return f"0 {unit}" if value == 0 else f"{value:.2g} {unit}"
