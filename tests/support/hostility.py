"""Whether a program compiled from a hostile module is that module, and what to call it if not."""

from __future__ import annotations

import random
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from hostile_hosts import reset
from hostile_modules import Hostile, draw
from torch import Tensor, nn

import snncc
from snncc.diagnostics import SnnccError

TOLERANCE = 1e-9
"""Of real outputs, relative to the largest."""

What = Literal["refused", "equal", "wrong", "crashed", "void"]


@dataclass(frozen=True)
class Verdict:
    """``void``: the module itself does not run, or hangs on rounding on each input.

    ``why`` is the code of a refusal, what differs, or the exception.
    """

    what: What
    why: str = ""

    @property
    def bad(self) -> bool:
        return self.what in ("wrong", "crashed")


def judge(hostile: Hostile) -> Verdict:
    """Compile it and hold the program against the module.

    Against a fresh one on each input, and against one that is called again and again, its known
    neurons reset in between.
    """
    with _float64():
        torch.manual_seed(hostile.seed)
        random.seed(hostile.seed)
        np.random.seed(hostile.seed % 2**32)
        try:
            fresh = [_answer(hostile, hostile.make(), x) for x in hostile.inputs]
            again = _called_again(hostile)
        except Exception as error:
            return Verdict("void", f"the module: {type(error).__name__}: {error}")
        try:
            program = snncc.compile(hostile.make(), hostile.example, **hostile.options)
        except SnnccError as error:
            return Verdict("refused", error.findings[0].code)
        except Exception as error:
            return Verdict("crashed", f"compile: {type(error).__name__}: {error}")
        return _compared(hostile, program, fresh, again)


def _compared(
    hostile: Hostile, program: snncc.Program, fresh: list[Tensor], again: list[Tensor]
) -> Verdict:
    compared = 0
    for x, want, later in zip(hostile.inputs, fresh, again, strict=True):
        try:
            result = program.run(x.clone())
        except SnnccError as error:
            if error.findings[0].code not in ("SNN306", "SNN312"):
                return Verdict("crashed", f"run: {error}")
            continue
        except Exception as error:
            return Verdict("crashed", f"run: {type(error).__name__}: {error}")
        for which, answer in (("fresh", want), ("called again", later)):
            got = result.outputs if answer.dim() == result.outputs.dim() else result.logits
            said = _difference(got, answer)
            if said and not hostile.exact and _unstable(hostile, x, want):
                continue
            if said:
                return Verdict("wrong", f"{which}, {_about(x)}: {said}")
            compared += 1
    return Verdict("equal" if compared else "void")


def _called_again(hostile: Hostile) -> list[Tensor]:
    """What one module says to all inputs in turn."""
    module, answers = hostile.make(), []
    for x in hostile.inputs:
        reset(module)
        answers.append(_answer(hostile, module, x))
    return answers


def _answer(hostile: Hostile, module: nn.Module, x: Tensor) -> Tensor:
    """Of all steps; the module gets a copy of its input."""
    steps = hostile.steps
    if steps is None:
        return module(x.clone()).to(torch.float64)
    each = [x] * steps if hostile.plan.static else x
    return torch.stack([module(step.clone()) for step in each]).to(torch.float64)


def _difference(got: Tensor, want: Tensor) -> str:
    if got.shape != want.shape:
        return f"shape {tuple(got.shape)} for {tuple(want.shape)}"
    scale = want.nan_to_num(0.0, 0.0, 0.0).abs().max().clamp(min=1.0)
    off = ~((got - want).abs() <= TOLERANCE * scale) & ~(
        (got == want) | (got.isnan() & want.isnan())
    )
    if not off.any():
        return ""
    place = tuple(off.nonzero()[0].tolist())
    said = f"{int(off.sum())} of {off.numel()} differ, first {float(got[place]):g}"
    return f"{said} for {float(want[place]):g} at {place}"


def _about(x: Tensor) -> str:
    return f"input {tuple(x.shape)} of mean {float(x.mean()):.2f}"


def _unstable(hostile: Hostile, x: Tensor, want: Tensor) -> bool:
    """Whether the module's own answer changes with the last digits of its weights."""
    for factor in (1 - 1e-9, 1 + 1e-9):
        module = hostile.make()
        with torch.no_grad():
            for layer in (module.first, module.second):
                for parameter in layer.parameters():
                    parameter.mul_(factor)
        near = _answer(hostile, module, x)
        if float((near - want).abs().max()) > 1e-6 * float(want.abs().max().clamp(min=1.0)):
            return True
    return False


@contextmanager
def _float64() -> Iterator[None]:
    """As `snncc.compare` runs a module: in float64, without gradients; warnings are not shown."""
    before, mode = torch.get_default_dtype(), torch.overrides._get_current_function_mode()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.set_default_dtype(before)
        assert torch.overrides._get_current_function_mode() is mode


@dataclass
class Tally:
    """Verdicts by kind; ``bad`` holds the wrong and the crashed, as programs to read."""

    counts: Counter[tuple[str, str]]
    harmless: Counter[str]
    bad: list[str]

    @property
    def total(self) -> Counter[str]:
        total: Counter[str] = Counter()
        for (_, what), count in self.counts.items():
            total[what] += count
        return total

    def table(self) -> str:
        kinds = sorted({kind for kind, _ in self.counts})
        rows = [
            f"{kind:34}"
            + "".join(f"{what} {n:4}  " for what in WHATS if (n := self.counts[kind, what]))
            for kind in kinds
        ]
        return "\n".join([*rows, f"{'all':34}{dict(self.total)}"])


WHATS: tuple[What, ...] = ("equal", "refused", "wrong", "crashed", "void")


def judge_all(seeds: Iterable[int]) -> Tally:
    """Each of ``seeds``, counted under its kind, or apart where it has two."""
    tally = Tally(Counter(), Counter(), [])
    for seed in seeds:
        hostile = draw(seed)
        verdict = judge(hostile)
        kind = hostile.kinds[0] if len(hostile.kinds) == 1 else "two elements"
        tally.counts[kind, verdict.what] += 1
        if hostile.harmless:
            tally.harmless[verdict.what] += 1
        if verdict.bad:
            tally.bad.append(f"{verdict.what}: {verdict.why}\n{hostile}")
    return tally
