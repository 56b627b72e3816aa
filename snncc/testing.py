"""For test suites: a module is spike-only, or the test fails and says where it is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from snncc.diagnostics.render import text

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from torch import Tensor, nn

    from snncc.compiler import Report


def assert_spike_only(
    module: nn.Module, example: ArrayLike | Tensor, target: str = "reference", **options: Any
) -> Report:
    """Check ``module`` on an ``example`` of what its forward takes, (T, N, …) or (N, …).

    ``options`` are those of `snncc.check`: input, layout, time_steps, head, strict, cut_merge; with
    a ``target`` its limits hold too. Returns the report, which may still have warnings and notes.
    Raises AssertionError with every finding when there is an error among them.
    """
    from snncc.compiler import check

    __tracebackhide__ = True
    report = check(module, example, target, **options)
    if not report.ok:
        raise AssertionError(
            f"{type(module).__name__} is not spike-only\n\n{text(report.findings)}"
        )
    return report
