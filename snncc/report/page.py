"""A report as JSON, and as one HTML file that fetches nothing and runs nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from snncc.pages import filled
from snncc.report import drawing
from snncc.report.section import Picture, Section, Table

SHOWN = 500
"""Rows of a table that the page has; the JSON file has all."""

_FOLDED = 8
"""Rows above which a table is folded in."""

_DRAWN = re.compile(r'<div class="pictures">.*?</div>|<p class="undrawn">.*?</p>', re.DOTALL)


def write(path: Path, title: str, sections: Sequence[Section]) -> None:
    """Write the page, and beside it its values under the same name with ``.json``."""
    data = path.with_suffix(".json")
    path.write_text(page(title, sections, data.name), encoding="utf-8")
    text = json.dumps(as_dict(title, sections), indent=1, ensure_ascii=False)
    data.write_text(text + "\n", encoding="utf-8")


def as_dict(title: str, sections: Iterable[Section]) -> dict[str, Any]:
    """Every value of the report, as plain values for JSON."""
    return {
        "title": title,
        "sections": [
            {
                "key": section.key,
                "title": section.title,
                "says": list(section.says),
                "tables": [
                    {
                        "title": table.title,
                        "columns": [vars(column) for column in table.columns],
                        "rows": [list(row) for row in table.rows],
                    }
                    for table in section.tables
                ],
            }
            for section in sections
        ],
    }


def page(title: str, sections: Sequence[Section], data: str = "") -> str:
    """The page; ``data`` is the name of the JSON file beside it, if any. Everything is escaped.

    Without the extra ``report`` it has the tables and no pictures, and says so.
    """
    drawn = drawing.is_here()
    return filled(
        "snncc.report", "page.html.j2", title=title, data=data, style=_style(), drawn=drawn,
        sections=[_Shown(section, drawn) for section in sections],
    )  # fmt: skip


def undrawn(text: str) -> str:
    """A page without its pictures: what is the same with any version of what draws them."""
    return "\n".join(_DRAWN.sub("", text).split())


@dataclass(frozen=True)
class _Shown:
    """A section as the template reads it."""

    section: Section
    drawn: bool

    @property
    def pictures(self) -> list[tuple[Picture, str]]:
        if not self.drawn:
            return []
        return [(each, drawing.svg(each.spec, each.title)) for each in self.section.pictures]

    @property
    def facts(self) -> list[Table]:
        return [table for table in self.section.tables if table.is_facts]

    @property
    def tables(self) -> list[tuple[Table, bool, int]]:
        """Each with whether it is folded in, and how many rows it shows."""
        behind = bool(self.section.pictures)
        return [
            (table, behind or len(table.rows) > _FOLDED, min(len(table.rows), SHOWN))
            for table in self.section.tables
            if not table.is_facts
        ]


@cache
def _style() -> str:
    return files("snncc.report").joinpath("style.css").read_text(encoding="utf-8")
