"""A backend and a target of snncc from another package: a network in whole numbers as C."""

from snncc.targets import Target
from snncc_c.backend import C

__all__ = ["TARGET", "C"]

TARGET = Target(
    "c",
    "one file of C99, in whole numbers",
    passes=("realise-projections",),
    emits="c",
    backends=("reference", "c"),
)
