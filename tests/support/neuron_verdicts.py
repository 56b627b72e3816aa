"""Whether a program compiled from a drawn neuron is that neuron, spike for spike."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

import torch
from neuron_updates import PLACES, STEPS, answer, inputs

import snncc
from snncc.diagnostics import SnnccError
from snncc.verification import compare

TOLERANCE = 1e-9
"""Of outputs, relative to the largest."""


@dataclass(frozen=True)
class Verdict:
    """``why`` is the code and the reason of a refusal, or what differs.

    A ``tie``: a membrane is on its threshold but for rounding, and spikes differ for that alone.
    """

    what: Literal["equal", "tie", "refused", "wrong"]
    why: str = ""


def judge(seed: int, place: str = "loop in forward", verify: bool = False) -> Verdict:
    """Compile a drawn network for Loihi, and hold the program against it on new inputs.

    Without ``verify`` nothing else would notice a neuron that is read wrongly.
    """
    where = PLACES[place]
    network = where.make(seed).eval()
    example, *others = map(where.given, inputs(seed))
    try:
        first = example[0] if "time_steps" in where.options else example
        program = snncc.compile(network, first, "loihi", verify=verify, **where.options)
    except SnnccError as error:
        (found, *_) = [f for f in error.findings if f.is_error]
        return Verdict("refused", f"{found.code} {_reason(found.message)}")
    for x in (example, *others):
        wanted, spikes = answer(where, network, x)
        run = program.run(x)
        sent = sum(
            float(run.spikes[p.name].sum()) for p in program.network.populations
            if p.role == "neuron"
        )  # fmt: skip
        scale = max(float(wanted.abs().max()), 1.0)
        apart = float((run.logits - wanted).abs().max())
        in_step = network.is_in_step and program.graph.time_steps == STEPS
        if (sent != spikes and in_step) or apart > TOLERANCE * scale:
            held = compare(network, program, x)
            if held.ties and not held.mismatches:
                return Verdict("tie", f"{held.ties} on the threshold but for rounding")
            return Verdict("wrong", f"{sent:g} spikes, not {spikes:g}; logits {apart:g} apart")
    return Verdict("equal")


def _reason(message: str) -> str:
    """Without names, equations and numbers of steps."""
    plain = re.sub("`[^`]*`|: .*|;.*|which asks .*,", "…", message)
    plain = re.sub(r"levels\.\S+|\S+(?= of step \d)", "…", plain)
    plain = re.sub(r"(…\s?of step \d+ and )+…\s?of step \d+", "… of several steps", plain)
    return re.sub(r"\d+", "N", plain)


@dataclass
class Tally:
    """``formed``: those that have a normal form; ``read`` of them are equal."""

    verdicts: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    missed: Counter[str] = field(default_factory=Counter)
    formed: int = 0
    read: int = 0

    def add(self, other: Tally) -> None:
        self.verdicts += other.verdicts
        self.refusals += other.refusals
        self.missed += other.missed
        self.wrong += other.wrong
        self.formed += other.formed
        self.read += other.read


def judge_all(seeds: Iterable[int], place: str, verify: bool = False) -> Tally:
    tally = Tally()
    for seed in seeds:
        network = PLACES[place].make(seed)
        verdict = judge(seed, place, verify)
        tally.verdicts[verdict.what] += 1
        if verdict.what == "refused":
            tally.refusals[verdict.why] += 1
        if verdict.what == "wrong":
            told = "; ".join(map(str, network.levels))
            tally.wrong.append(f"{place} {seed}: {verdict.why} ({told})")
        if network.has_form:
            tally.formed += 1
            tally.read += verdict.what in ("equal", "tie")
            if verdict.what == "refused":
                tally.missed[f"{verdict.why} ({network.levels[0].reset_name})"] += 1
    return tally


@dataclass(frozen=True)
class OneThread:
    """Small tensors are slower on more."""

    before: int = field(default_factory=torch.get_num_threads)

    def __enter__(self) -> None:
        torch.set_num_threads(1)

    def __exit__(self, *_: object) -> None:
        torch.set_num_threads(self.before)
