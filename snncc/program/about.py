"""What a program says of itself: values here, plain values in its manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self, get_args

from snncc.diagnostics import SnnccError
from snncc.ir.size import Size
from snncc.options import KINDS, InputKind, Options
from snncc.passes.base import find
from snncc.reports import Report, Reports, Unknown
from snncc.verification.record import Record, taken, whole


@dataclass(frozen=True)
class Gone:
    """What was stripped: ops and parameters, and the work of one sample.

    ``ac_at_most``: if every neuron fired at every step.
    """

    nodes: int = 0
    parameters: int = 0
    mac: int = 0
    ac_at_most: int = 0

    @classmethod
    def read(cls, plain: Any) -> Self:
        """As a manifest has it. Raises ValueError where it has anything else."""
        names = ("nodes", "parameters", "mac", "ac_at_most")
        return cls(*(whole(plain, name) for name in names))


@dataclass(frozen=True)
class About:
    """Where a program comes from, and what was done and found on the way.

    ``source``: what the module was read from, "name" and "sha256" among it. ``passes``: the specs
    of those that ran; ``sizes``: of the Graph and of the form behind each pass, none of them in
    programs of older versions. ``verification``: None where nothing was compared.
    """

    source: Mapping[str, str] = field(default_factory=dict)
    options: Options = field(default_factory=Options)
    passes: tuple[str, ...] = ()
    reports: Reports = field(default_factory=lambda: Reports({}))
    sizes: tuple[Size, ...] = ()
    stripped: Gone = field(default_factory=Gone)
    verification: Record | None = None

    @classmethod
    def read(cls, manifest: Mapping[str, Any]) -> Self:
        """Of a manifest. Raises ValueError, with what is wrong, where it does not have it."""
        proof = taken(manifest, "verification", dict | None)
        sizes = taken(manifest, "sizes", list) if "sizes" in manifest else []
        return cls(
            _texts(manifest, "source"),
            _options(taken(manifest, "options", dict)),
            tuple(taken({"passes": e}, "passes", str) for e in taken(manifest, "passes", list)),
            Reports({name: _report(name, said)
                     for name, said in taken(manifest, "reports", dict).items()}),
            tuple(map(_size, sizes)),
            Gone.read(taken(manifest, "stripped", dict)),
            None if proof is None else Record.read(proof),
        )  # fmt: skip

    @property
    def said(self) -> dict[str, Any]:
        """As a manifest has it."""
        return {
            "source": dict(self.source),
            "options": self.options.given,
            "passes": list(self.passes),
            "reports": self.reports.said,
            **({"sizes": [dict(vars(size)) for size in self.sizes]} if self.sizes else {}),
            "stripped": dict(vars(self.stripped)),
            "verification": None if self.verification is None else self.verification.said,
        }


def _texts(manifest: Mapping[str, Any], name: str) -> dict[str, str]:
    plain = taken(manifest, name, dict)
    return {each: taken(plain, each, str) for each in plain}


def _size(plain: Any) -> Size:
    names = ("nodes", "edges", "neurons", "numbers")
    size = Size(taken(plain, "form", str), *(whole(plain, name) for name in names))
    if more := plain.keys() - vars(size).keys():
        raise ValueError(f"`{min(more)}` of its `sizes` is not known")
    return size


def _options(plain: Mapping[str, Any]) -> Options:
    for name in plain:
        if name not in KINDS:
            raise ValueError(f"the option `{name}` is not known")
        taken(plain, name, KINDS[name])
    if plain.get("input", "analog") not in get_args(InputKind):
        raise ValueError("its `input` is not known")
    try:
        return Options(**plain)
    except SnnccError as error:
        raise ValueError(error.findings[0].message) from None


def _report(name: str, said: Any) -> Report:
    """The report of the pass of that name, which may not be installed here."""
    try:
        kind = find(name).reports
    except SnnccError:
        kind = Unknown
    try:
        return kind.read(said)
    except ValueError as error:
        raise ValueError(f"the report of `{name}`: {error}") from None
