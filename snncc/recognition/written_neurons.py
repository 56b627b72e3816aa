"""What neuron a comparison of a written membrane is: rules 2 to 7 of recognise-neurons."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from snncc.recognition.equations import (
    ONE,
    Bit,
    Coefficient,
    NoForm,
    Sum,
    alike,
    is_float,
    is_never_zero,
    is_zero,
    scaled,
)
from snncc.recognition.normal_form import ZERO, NormalForm, Recurrence, normal_forms, positive
from snncc.recognition.reading import Reading

Currents = Mapping[str, Coefficient]
"""Real values that are no states of the membrane, each with its factor."""


@dataclass(frozen=True)
class Left:
    """What is left in a state, by the spike of the step: factor·u + constant + currents."""

    factor: Coefficient
    constant: Coefficient
    currents: Currents


@dataclass(frozen=True)
class Synapse:
    """A synaptic current: what is left in ``state`` is decay·state + inputs + constant."""

    state: str
    decay: Coefficient
    inputs: Mapping[str, Coefficient]
    constant: Coefficient


@dataclass(frozen=True)
class Inputs:
    """Currents of this step, and of the step before, where they are added."""

    now: Currents
    before: Currents = field(default_factory=dict)

    def over(self, unit: Coefficient) -> Inputs:
        return Inputs(
            {name: c / unit for name, c in self.now.items()},
            {name: c / unit for name, c in self.before.items()},
        )

    @property
    def by_step(self) -> dict[tuple[str, str], Coefficient]:
        now = {(name, "now"): c for name, c in self.now.items()}
        return {**now, **{(name, "before"): c for name, c in self.before.items()}}


@dataclass(frozen=True)
class WrittenNeuron:
    """A neuron and what it reads: ``inputs`` and a constant ``bias``.

    ``silent`` is what each input of the step before is before the first. ``late`` are comparisons
    that ask for its spike of the step before, each with the first answer. What the comparison asks
    is ``unit`` times how far the membrane is above its threshold, and ``kept`` says what of that is
    left in each state. ``is_exact``: floats hold its numbers.
    """

    op: Mapping[str, Any]
    inputs: Inputs
    bias: Coefficient
    silent: Mapping[str, Coefficient]
    late: Mapping[str, int]
    unit: Coefficient
    kept: Mapping[str, Mapping[int, Left]]
    synapse: Synapse | None
    is_exact: bool


@dataclass(frozen=True)
class _Update:
    """What a comparison asks, ``u``, and what a step leaves in its membrane's states.

    ``now`` and ``late`` are its spikes. A ``synapse`` is a state of its own.
    """

    u: Sum
    left: Mapping[str, Sum]
    now: Bit
    late: Bit
    synapse: Synapse | None = None

    @property
    def states(self) -> list[str]:
        return list(self.left)

    def asked(self, spike: int) -> Sum:
        """u, the spike of the step before being known."""
        return self.u.at({self.late: spike})

    def factors(self, spike: int) -> dict[str, Coefficient]:
        """Of the states in u."""
        asked = self.asked(spike)
        return {state: asked.of_variable(state) for state in self.left}

    def inputs(self, spike: int, kept: Mapping[str, Mapping[int, Left]]) -> Inputs:
        """What u reads besides the membrane: now, and as the step before left it in the states."""
        asked = self.asked(spike)
        now = {name: asked.of_variable(name) for name in asked.variables - set(self.left)}
        before: dict[str, Coefficient] = {}
        for state, factor in self.factors(spike).items():
            for name, c in kept[state][spike].currents.items():
                before[name] = before.get(name, ZERO) + factor * c
        return Inputs(now, {name: c for name, c in before.items() if not is_zero(c)})


def neuron(reading: Reading, name: str) -> WrittenNeuron | None:
    """What a comparison computes; None where no state is in it. Raises NoForm."""
    if name in reading.late:
        return None
    update = _update(reading, name)
    if update is None:
        return None
    try:
        found = _solved(reading, name, update)
    except NoForm:
        heard = _with_own_spikes_as_current(reading, update)
        if heard is None:
            raise
        return _solved(reading, name, heard)
    if not found.is_exact and (heard := _with_own_spikes_as_current(reading, update)):
        with suppress(NoForm):
            other = _solved(reading, name, heard)
            found = other if other.is_exact else found
    return found


def _solved(reading: Reading, name: str, update: _Update) -> WrittenNeuron:
    """The neuron of an equation. Raises NoForm."""
    kept = {state: _kept(state, update) for state in update.states}
    heard = {spike: update.inputs(spike, kept) for spike in (0, 1)}
    share, synapse = _share(heard[0], heard[1]), update.synapse
    filtered = None if synapse is None else _filtered(synapse, heard[0])
    inputs = filtered.inputs if filtered else heard[0]
    _check_shapes(reading, name, inputs)
    silent = {each: reading.silent(each) for each in inputs.before}
    unit = _unit(inputs)
    p, q = _recurrence(update, kept)
    near = -update.asked(0).constant_part / unit
    forms = normal_forms(Recurrence(p, {r: c / unit for r, c in q.items()}, share), near)
    before = _before(reading, name)
    unheard = sum((c * silent[each] for each, c in inputs.before.items()), ZERO)
    begin = ZERO
    if synapse is not None and filtered is not None:
        at_first = reading.first(synapse.state)
        begin = (filtered.first(at_first) - filtered.constant - unheard) / synapse.decay / unit
        unheard = filtered.lead * (at_first - synapse.constant)
    first = {
        spike: (_first(reading, update, spike) - part * unheard) / unit
        for spike, part in ((0, ONE), (1, ONE if share is None else share))
    }
    form, op, is_exact = _best(forms, first, before, reading.strict(name))
    bias = form.bias
    if synapse is not None and filtered is not None:
        op |= {"current_decay": synapse.decay, "current_initial": begin + form.bias}
        bias = filtered.constant / unit + form.bias * (ONE - synapse.decay)
    late = dict.fromkeys(reading.late_of(name), before)
    return WrittenNeuron(op, inputs.over(unit), bias, silent, late, unit, kept, synapse, is_exact)


# -- states and currents ---------------------------------------------------------------------------


def _update(reading: Reading, name: str) -> _Update | None:
    """Rules 2 and 4. None where a comparison asks for no state of its own."""
    now, late = Bit(name), Bit(name, late=True)
    same = {Bit(other): late for other in reading.late_of(name)}
    u = reading.asked(name).renamed(same)
    if not reading.states(u) and late not in u.bits and not _hidden(reading, u):
        return None
    _check_readable(reading, u)
    u = _with_others_as_currents(reading, u, u.bits - {late})
    left: dict[str, Sum] = {}
    pending = reading.states(u)
    while pending:
        state = pending.pop()
        if state in left or reading.is_input(state):
            continue
        whole = reading.left(state).renamed(same)
        _check_readable(reading, whole)
        left[state] = _with_others_as_currents(reading, whole, whole.bits - {now, late})
        pending += reading.states(left[state])
    if not left and late not in u.bits:
        return None
    synapse = _synapse(reading, left)
    if synapse is not None:
        del left[synapse.state]
    return _Update(u, left, now, late, synapse)


def _with_own_spikes_as_current(reading: Reading, update: _Update) -> _Update | None:
    """What the spikes of the step before add to the membrane, as the current that it is.

    None where there is no such thing, or where it begins with a spike.
    """
    copy = reading.delayed_copy(update.late)
    if copy is None or not is_zero(reading.first(copy[0])):
        return None
    name, height = copy

    def heard(what: Sum) -> Sum:
        return Sum.of(
            ((bits - {update.late}, name), c / height)
            if update.late in bits and not real else ((bits, real), c)
            for (bits, real), c in what.terms.items()
        )  # fmt: skip

    u = heard(update.u)
    left = {state: heard(what) for state, what in update.left.items()}
    return None if u == update.u else replace(update, u=u, left=left)


def _hidden(reading: Reading, what: Sum) -> list[str]:
    return sorted(what.variables & reading.obstacles.keys())


def _check_readable(reading: Reading, what: Sum) -> None:
    """Raises NoForm for a function of a state that is no sum."""
    for name in _hidden(reading, what):
        raise reading.obstacles[name]


def _with_others_as_currents(reading: Reading, what: Sum, foreign: frozenset[Bit]) -> Sum:
    """The spikes of other neurons are currents. Raises NoForm where they choose or scale."""
    terms = []
    for (bits, name), c in what.terms.items():
        others = bits & foreign
        if not others:
            terms.append(((bits, name), c))
            continue
        (bit, *more) = sorted(others)
        current = reading.delayed_copy(bit) if bit.late else (bit.name, ONE)
        if more or name or current is None:
            when = " of the step before" if bit.late else ""
            asks = f"which asks whether {reading.question(bit.name)},"
            said = (
                f"another comparison, `{bit.name}`{when}, {asks} decides what the membrane becomes"
            )
            raise NoForm(said)
        source, height = current
        terms.append(((bits - others, source), c / height))
    return Sum.of(terms)


def _synapse(reading: Reading, left: Mapping[str, Sum]) -> Synapse | None:
    """The state of its own input alone that is no membrane."""

    def own(state: str, *others: str) -> bool:
        memory = {each for each in reading.states(left[state]) if each in left}
        return not left[state].bits and state in memory and memory <= {state, *others}

    found = [state for state in left if own(state)] if len(left) > 1 else []
    if not found:
        return None
    state = found[0]
    more = [each for each in left if each != state and own(each, *found)]
    if len(found) > 1 or (more and len(left) > 2):
        raise NoForm(f"several synaptic currents, `{state}` and `{(found[1:] + more)[0]}`")
    what = left[state]
    decay = what.of_variable(state)
    if not is_never_zero(decay):
        raise NoForm(f"the synaptic current `{state}` keeps nothing in some neurons")
    inputs = {name: what.of_variable(name) for name in what.variables - {state}}
    return Synapse(state, decay, inputs, what.constant_part)


@dataclass(frozen=True)
class _Filtered:
    """A synaptic current that is all that a membrane reads.

    It is ``gain`` times the user's, counted ``lead`` times more than the first step does.
    """

    inputs: Inputs
    constant: Coefficient
    gain: Coefficient
    lead: Coefficient
    offset: Coefficient

    def first(self, at_first: Coefficient) -> Coefficient:
        """It in the first step, without inputs, the user's beginning at ``at_first``."""
        return self.gain * at_first + self.offset


def _filtered(synapse: Synapse, heard: Inputs) -> _Filtered:
    """The current that is the sum of everything that a membrane reads.

    Let primes be of the step before: c = a·c' + Σ b·x + k is the user's current, and the membrane
    reads g·c' + Σ e·x, and g₂·c'' + Σ l·x' that the step before left in it. With c'' = (c' − Σ b·x'
    − k)/a this is f = G·c' + Σ e·x − g₂·k/a with G = g + g₂/a, where l = g₂·b/a. So
    f = a·f' + Σ e·x + Σ (G·b − a·e)·x' + G·k − (1 − a)·g₂·k/a.
    """
    state, a = synapse.state, synapse.decay
    lead = heard.before.get(state, ZERO) / a
    gain = heard.now.get(state, ZERO) + lead
    now = {name: c for name, c in heard.now.items() if name != state}
    names = sorted({*now, *synapse.inputs, *heard.before} - {state})
    for name in names:
        left_over = heard.before.get(name, ZERO) - lead * synapse.inputs.get(name, ZERO)
        if not is_zero(left_over):
            raise NoForm(f"`{name}` of two steps before is in its membrane")
    before = {n: gain * synapse.inputs.get(n, ZERO) - a * now.get(n, ZERO) for n in names}
    inputs = Inputs(now, {name: c for name, c in before.items() if not is_zero(c)})
    offset = -lead * synapse.constant
    return _Filtered(inputs, gain * synapse.constant + (ONE - a) * offset, gain, lead, offset)


def _unit(inputs: Inputs) -> Coefficient:
    """The common positive factor of all currents, or 1."""
    factors = [*inputs.by_step.values()]
    common = factors and all(alike(factors[0], c) for c in factors)
    return factors[0] if common and positive(factors[0]) else ONE


def _check_shapes(reading: Reading, name: str, inputs: Inputs) -> None:
    nodes = reading.graph.nodes
    for each in (*inputs.now, *inputs.before):
        if nodes[each].signal.shape != nodes[name].signal.shape:
            raise NoForm(f"the current `{each}` has another shape")


# -- the equation over two steps -------------------------------------------------------------------


def _kept(state: str, update: _Update) -> dict[int, Left]:
    """Rule 3."""
    found: dict[int, Left] = {}
    for spike in (0, 1):
        pairs = [
            (update.asked(before), update.left[state].at({update.now: spike, update.late: before}))
            for before in (0, 1)
        ]
        k = _ratio(state, update, pairs)
        rest, other = (_rest(its, mine, k, update.left.keys()) for mine, its in pairs)
        if not _same(rest, other):
            said = "what is compared hangs on the spike of the step before"
            raise NoForm(f"{said}, and what is left in `{state}` does not follow it")
        found[spike] = Left(k, rest.pop("", ZERO), rest)
    return found


def _rest(its: Sum, mine: Sum, k: Coefficient, states: Collection[str]) -> dict[str, Coefficient]:
    """What is not k times the same, apart from the states; "" for the constant."""
    names = sorted({"", *its.variables, *mine.variables} - set(states))
    rest = {n: its.of_variable(n) - scaled(mine.of_variable(n), k) for n in names}
    return {name: c for name, c in rest.items() if not is_zero(c)}


def _ratio(state: str, update: _Update, pairs: Sequence[tuple[Sum, Sum]]) -> Coefficient:
    """k, where all states in the second are k times those in the first."""
    k: Coefficient | None = None
    for mine, its in pairs:
        for name in update.states:
            factor, its_factor = mine.of_variable(name), its.of_variable(name)
            if is_zero(factor) and is_zero(its_factor):
                continue
            if is_zero(factor):
                said = f"`{name}` is a memory besides the membrane"
                raise NoForm(f"{said}: `{state}` becomes {its}")
            if not is_never_zero(factor):
                raise NoForm(f"`{name}` is in some neurons of `{state}` and not in others")
            here = its_factor if alike(factor, ONE) else its_factor / factor
            if k is not None and not alike(k, here):
                said = "two memories in one comparison, as of a threshold that adapts"
                raise NoForm(f"{said}: `{state}` becomes {its}")
            k = here
    return ZERO if k is None else k


def _recurrence(
    update: _Update, kept: Mapping[str, Mapping[int, Left]]
) -> tuple[dict[int, Coefficient], dict[int, Coefficient]]:
    """P and Q."""
    p: dict[int, Coefficient] = {}
    q: dict[int, Coefficient] = {}
    for spike in (0, 1):
        factors = update.factors(spike)
        left = [(c, kept[state][spike]) for state, c in factors.items()]
        p[spike] = sum((scaled(c, each.factor) for c, each in left), ZERO)
        rest = sum((scaled(c, each.constant) for c, each in left), ZERO)
        q[spike] = update.asked(spike).constant_part + rest
    return p, q


def _same(one: Mapping[Any, Coefficient], two: Mapping[Any, Coefficient]) -> bool:
    return one.keys() == two.keys() and all(alike(one[name], two[name]) for name in one)


def _share(zero: Inputs, one: Inputs) -> Coefficient | None:
    """The common factor of currents behind a spike; None where there is none."""
    first = {
        **{(n, 0): c for n, c in zero.now.items()},
        **{(n, 1): c for n, c in zero.before.items()},
    }
    second = {
        **{(n, 0): c for n, c in one.now.items()},
        **{(n, 1): c for n, c in one.before.items()},
    }
    if _same(first, second):
        return ONE
    if second.keys() - first.keys() or not all(map(is_never_zero, first.values())):
        return None
    shares = [second.get(name, ZERO) / c for name, c in first.items()]
    return shares[0] if all(alike(shares[0], share) for share in shares) else None


# -- the beginning ---------------------------------------------------------------------------------


def _first(reading: Reading, update: _Update, before: int) -> Coefficient:
    """u of the first step without its currents, behind a spike or none."""
    asked = update.asked(before)
    states = (asked.of_variable(state) * reading.first(state) for state in update.states)
    return asked.constant_part + sum(states, ZERO)


def _before(reading: Reading, name: str) -> int:
    """The spike of the step before the first, as everything that holds it says."""
    said = {0, 1}
    for fits in (*_held(reading, Bit(name, late=True)), *_asked_first(reading, name)):
        said &= fits
    if not said:
        raise NoForm("spikes of the step before the first that are not the same")
    return min(said)


def _held(reading: Reading, late: Bit) -> Iterator[set[int]]:
    """The late spike that fits the beginning of each Delay of it."""
    for name, what in reading.holding(late):
        first = reading.first(name)
        yield {s for s in (0, 1) if alike(what.at({late: s}).constant_part, first)}


def _asked_first(reading: Reading, name: str) -> Iterator[set[int]]:
    """What comparisons that ask for the late spike say at first."""
    for other in reading.late_of(name):
        asked = reading.asked(other)
        states = (asked.of_variable(s) * reading.first(s) for s in reading.states(asked))
        value = asked.constant_part + sum(states, ZERO)
        yield {int(_one(value > 0 if reading.strict(other) else value >= 0))}


def _best(
    forms: Sequence[NormalForm], first: Mapping[int, Coefficient], before: int, strict: bool
) -> tuple[NormalForm, dict[str, Any], bool]:
    """The first that floats hold with its beginning, and that has a threshold above 0."""
    best: tuple[NormalForm, dict[str, Any]] | None = None
    fitness, why = (False, False), NoForm("no neuron begins so")
    for form in forms:
        try:
            op = _begun(form, first, before, strict)
        except NoForm as error:
            why = error
            continue
        here = form.is_exact and is_float(op["initial"]), positive(form.threshold)
        if best is None or here > fitness:
            best, fitness = (form, op), here
        if all(fitness):
            break
    if best is None:
        raise why
    return *best, fitness[0]


def _begun(
    form: NormalForm, first: Mapping[int, Coefficient], before: int, strict: bool
) -> dict[str, Any]:
    """Rule 7: the op, with the membrane that it starts from."""
    late = form.when == "next"
    wanted = first[0 if late else before] + form.threshold - form.bias
    if is_never_zero(form.decay):
        initial = wanted / form.decay
    elif is_zero(wanted):
        initial = ZERO
    else:
        raise NoForm("a first membrane that no neuron without memory has")
    if late:
        fires = initial > form.threshold if strict else initial >= form.threshold
        if _one(fires) != bool(before):
            raise NoForm("a first spike that its first membrane does not say")
        charged = form.decay * initial + form.bias
        kept = form.v_reset + form.keep * (charged - form.v_reset)
        behind = charged - form.threshold if form.reset == "soft" else kept
        if before and not alike(behind, first[1] + form.threshold):
            raise NoForm("a first membrane that its reset does not leave")
    return {
        "decay": form.decay, "threshold": form.threshold, "reset": form.reset,
        "v_reset": form.v_reset, "initial": initial, "strict": strict, "when": form.when,
        "keep": form.keep,
    }  # fmt: skip


def _one(truth: Any) -> bool:
    """One truth for all neurons. Raises NoForm where they differ."""
    values = np.unique(np.asarray(truth, bool))
    if len(values) != 1:
        raise NoForm("neurons that begin in different ways")
    return bool(values[0])
