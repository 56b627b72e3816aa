"""A compiled network: the value, how it runs, its folder and its pages."""

from snncc.program.folder import DATA, INPUTS, MAPPING, PAGE, is_program, processes_of, replaceable
from snncc.program.manifest import MANIFEST
from snncc.program.packages import emit
from snncc.program.program import Program, Result, load

__all__ = [
    "DATA", "INPUTS", "MANIFEST", "MAPPING", "PAGE", "Program", "Result", "emit", "is_program",
    "load", "processes_of", "replaceable",
]  # fmt: skip
