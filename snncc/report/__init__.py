"""A report: sections with their tables and pictures, and the page that shows them.

A report is plain data first (`Section`, `Table`): it is written as JSON as it is, and the page has
the same values in words. This room knows no network; whoever has something to say makes sections.
"""

from snncc.report.page import as_dict, page, undrawn, write
from snncc.report.section import Cell, Column, Picture, Section, Table, facts

__all__ = [
    "Cell", "Column", "Picture", "Section", "Table", "as_dict", "facts", "page", "undrawn", "write",
]  # fmt: skip
