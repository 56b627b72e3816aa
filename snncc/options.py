"""What a compilation is told, as `snncc.compile`, `snncc.check` and a manifest have it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from snncc.diagnostics import refuse

InputKind = Literal["spike", "count", "analog"]
Reset = Literal["hard", "soft"]

KINDS: Mapping[str, type] = {
    "head": str, "input": str, "layout": str, "time_steps": int, "keep_aap": bool,
    "cut_merge": bool, "strict": bool, "stock_only": bool, "weight_bits": int, "reset": str,
}  # fmt: skip
"""The type of each option in a manifest, which has those that were given."""


@dataclass(frozen=True)
class Options:
    """The options of `snncc.compile`, which says what each does. Raises SNN316 for a reset that is
    not there."""

    head: str | None = None
    input: InputKind = "analog"
    layout: str | None = None
    time_steps: int | None = None
    keep_aap: bool = False
    cut_merge: bool = False
    strict: bool = False
    stock_only: bool = False
    weight_bits: int | None = None
    reset: Reset | None = None

    def __post_init__(self) -> None:
        if self.reset not in (None, "hard", "soft"):
            said = f"reset is hard or soft, not {self.reset!r}"
            raise refuse("SNN316", said, help="or leave it out")

    @property
    def given(self) -> dict[str, Any]:
        """As a manifest has them: those that say something."""
        return {name: value for name, value in asdict(self).items() if value}
