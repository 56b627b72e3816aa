"""The proof begins at the user's module: it runs beside its Graph, and every spike is compared.

The module is really called, T times where it computes one step, on each of `probes`, all on one
copy. Every population and every output is held against the Graph, spike for spike, in float64. One
sample is run once more in the module's own dtype, and with gradients.

Where a spike differs, each population gets the spikes of the module, so that one difference stays
one, and `rounding` says which of them are ties.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from snncc.diagnostics import Finding, Location, SnnccError, refuse
from snncc.frontends.torch import Observation, Witness, arrange
from snncc.frontends.torch.flow import Flow, Used
from snncc.frontends.torch.runs import left_behind
from snncc.frontends.torch.states import Held, Place, changed, digest, held, restore
from snncc.ir.elementwise import STEPPED
from snncc.ir.graph import Graph, Node
from snncc.ir.interpreter import TensorStore, Value, fire_as_written, run_graph
from snncc.ir.interpreter.rounding import TOLERANCE, is_tie
from snncc.ir.ops import Elementwise, Spiking
from snncc.verification.probes import DRAWN, Probe

TRAINED = ", as trained"
"""What the name of a call in the module's own dtype ends with."""


@dataclass(frozen=True)
class Call:
    """What one call of the module showed.

    ``populations``: how many neuron-steps of each were compared; ``ties`` of all were ties.
    """

    probe: Probe
    dtype: torch.dtype
    populations: Mapping[str, int]
    ties: int

    @property
    def compared(self) -> int:
        return sum(self.populations.values())


@dataclass(frozen=True)
class Agreement:
    """A module that does what its Graph says on all ``calls``; ``findings``: what could not run."""

    calls: tuple[Call, ...]
    findings: tuple[Finding, ...] = ()

    @property
    def compared(self) -> int:
        return sum(call.compared for call in self.calls)

    @property
    def ties(self) -> int:
        return sum(call.ties for call in self.calls)

    @property
    def probes(self) -> tuple[Probe, ...]:
        return tuple(call.probe for call in self.calls)


def agreement(module: nn.Module, graph: Graph, probes: Sequence[Probe]) -> Agreement:
    """Hold ``graph`` against ``module`` on ``probes``, in this order on one copy.

    Raises SnnccError: SNN321 where they differ, SNN322 where something that the module keeps from
    an earlier call or step makes the difference, SNN314 where the module does not run.
    """
    try:
        return _Comparison(module, graph, torch.float64).all(probes)
    except _WrongDtype:
        return _Comparison(module, graph, torch.float32).all(probes)


class _WrongDtype(Exception):
    """The module does not run in float64."""


class _Comparison:
    """A module and its Graph, side by side, the module in ``dtype``."""

    def __init__(self, module: nn.Module, graph: Graph, dtype: torch.dtype) -> None:
        self._module, self._graph, self._dtype = module, graph, dtype
        self._neurons = [node.name for node in graph.neurons]
        self._store = TensorStore(graph.tensors, torch.float64)
        self._jumps = [node for node in graph.nodes.values() if _jumps(graph, node)]
        self._states: bool | None = None

    def all(self, probes: Sequence[Probe]) -> Agreement:
        """One call after the other, on one copy, and the first sample as it was trained."""
        witness = self._witness()
        self._states = witness.states
        chance = _chance()
        before, calls, findings = held(witness.twin), list[Call](), list[Finding]()
        first: tuple[Probe, dict[str, Value]] | None = None
        once: Held | None = None  # what is made by the first call, and kept, may be used
        waiting = list(probes)
        while waiting:
            probe = waiting.pop(0)
            again = first is not None and probe.inputs is first[0].inputs
            values = first[1] if first is not None and again else self._run(probe)
            first = first or (probe, values)
            try:
                seen = witness(probe.inputs)
            except Exception as error:
                if calls:
                    few = probes[0].samples
                    if probe.samples > few:
                        waiting[:0] = probe.pieces(few) if probe.seed is not None else ()
                    else:
                        findings.append(_not_verified(probe, error))
                    continue
                if self._dtype == torch.float64 and _is_about_dtype(error):
                    raise _WrongDtype from None
                raise refuse("SNN314", _raised(probe, error), Location("forward")) from None
            try:
                calls.append(self._compare(probe, seen, values))
            except SnnccError as error:
                kept = changed(before, held(witness.twin))
                raise self._blamed(error, probe, values, kept) from None
            once = once or held(witness.twin)
        if _chance() != chance:
            said = "forward draws random numbers: no two runs of it are the same"
            raise refuse("SNN315", said, Location("forward"))
        self._check_kept(witness, once or before, probes[0])
        if self._graph.is_of_one_step:
            self._check_step(witness, once or before, probes[0])
        if self._dtype == torch.float64:
            done = [call.probe for call in calls if call.probe.name in ("example", "drawn")]
            cheap = done[-1].samples >= DRAWN
            for probe in done if cheap else done[:1]:
                try:
                    calls.append(self._as_trained(probe, probe.samples if cheap else 1))
                except _NotRun as error:
                    if error.reason is not None:
                        findings.append(_not_verified(probe, error.reason))
        return Agreement(tuple(calls), tuple(findings))

    def _witness(
        self, dtype: torch.dtype | None = None, *, widened: bool = True, grad: bool = False,
        watched: bool = True, on_cpu: bool = True,
    ) -> Witness:  # fmt: skip
        """A copy of the module, in the comparison's own dtype where no other is asked for."""
        return Witness(
            self._module, self._graph, dtype or self._dtype, widened=widened, grad=grad,
            watched=watched, states=self._states, on_cpu=on_cpu,
        )  # fmt: skip

    def _run(self, probe: Probe, forced: Mapping[str, Value] | None = None,
             keep: Sequence[str] = ()) -> dict[str, Value]:  # fmt: skip
        inputs = arrange(probe.inputs, self._graph)
        return run_graph(self._graph, inputs, keep=[*self._neurons, *keep], forced=forced)

    def _check_kept(self, witness: Witness, before: Held, probe: Probe) -> None:
        """Raise SnnccError (SNN322) where what the calls left behind reaches an output."""
        after = held(witness.twin)
        moved = changed(before, after)
        if not moved:
            return
        fresh = held(self._witness(watched=False).twin)
        names = [
            name for name in moved
            if not _same_value(fresh.get(name), after.get(name))
            and not _same_fill(before.get(name), after.get(name))
        ]  # fmt: skip
        one = probe.first(1)
        plain: Observation | None = None
        for otherwise in (False, True) if names else ():
            name = None
            flow = None
            try:
                flow = Flow(after, names, otherwise)
                with flow:
                    seen = witness(one.inputs)
                name = flow.reached(witness.outputs)
                if name is None and plain is not None and not _identical(plain, seen):
                    name = flow.asked
                plain = seen
            except Used as error:
                name = error.name
            except Exception:
                name = (flow.asked if flow else None) or names[0]
            finally:
                restore(after, held(witness.twin))
            if name is not None:
                raise _kept([name], "one call to the next")
            if flow is None or flow.asked is None:
                return

    def _check_step(self, witness: Witness, before: Held, probe: Probe) -> None:
        """Raise SnnccError (SNN322) where what a step leaves reaches the outputs of the next.

        Neurons are left out: their states are known.
        """
        witness(probe.first(1).inputs)
        after = held(witness.twin)
        names = [
            name for name in left_behind(witness.twin, before)
            if not (self._states and isinstance(after[name].value, torch.Tensor))
        ]  # fmt: skip
        if not names:
            return
        name, flow = None, None
        inputs = probe.first(1).inputs
        step = inputs if inputs.dim() == len(self._graph.inputs[0].signal.axes) else inputs[0]
        try:
            flow = Flow(after, names)
            with flow:
                outputs = witness.step(step)
            name = flow.reached(outputs) or flow.asked
        except Used as error:
            name = error.name
        except Exception:
            name = names[0]
        finally:
            restore(after, held(witness.twin))
        if name is not None:
            raise _kept([name], "one step to the next")

    def _as_trained(self, probe: Probe, samples: int) -> Call:
        """Samples once more, in the module's own dtype and with gradients."""
        dtypes = {p.dtype for p in self._module.parameters()} or {torch.float32}
        if len(dtypes) > 1 or not dtypes <= set(TOLERANCE):
            raise _NotRun(None)
        (dtype,) = dtypes
        one = replace(probe.first(samples), name=f"{probe.name}{TRAINED}")
        other = _Comparison(self._module, self._graph, dtype)
        try:
            seen = self._with_gradients(one, dtype)
            unseen = self._unseen(one, dtype)
        except Exception as error:
            raise _NotRun(error) from None
        call = other._compare(one, seen, other._run(one))
        for head, name in self._graph.heads.items():
            if not _equal(seen.heads[head], unseen.heads[head], torch.float64):
                said = f"output `{head}` is another one when nobody watches and without gradients"
                raise _differs(self._graph.nodes[name], one, said)
        return call

    def _unseen(self, probe: Probe, dtype: torch.dtype) -> Observation:
        """A call that nothing stands around, unless the code asks for another device."""
        try:
            alone = self._witness(dtype, widened=False, watched=False, on_cpu=False)
            return alone(probe.inputs)
        except Exception:
            return self._witness(dtype, widened=False, watched=False)(probe.inputs)

    def _with_gradients(self, probe: Probe, dtype: torch.dtype) -> Observation:
        """A call with gradients, or without where the module cannot have any."""
        try:
            return self._witness(dtype, widened=False, grad=True)(probe.inputs)
        except RuntimeError:
            return self._witness(dtype, widened=False)(probe.inputs)

    def _blamed(
        self, error: SnnccError, probe: Probe, values: Mapping[str, Value], kept: Sequence[str]
    ) -> SnnccError:
        """``error``, or SNN322 where what the module keeps makes the difference."""
        said = error.findings[0].message
        try:
            fresh = self._witness()(probe.inputs)
            self._compare(probe, fresh, values)
        except Exception:
            step = kept and self._graph.is_of_one_step
            return _kept(kept, "one step to the next", said) if step else error
        return _kept(kept, "one call to the next", said)

    # -- one call ------------------------------------------------------------------------------

    def _compare(self, probe: Probe, seen: Observation, values: Mapping[str, Value]) -> Call:
        """Raises SnnccError (SNN321) for a difference that rounding does not explain."""
        for node in self._graph.neurons:
            spikes = seen.spikes.get(node.name)
            if spikes is None or spikes.shape != values[node.name].shape:
                what = "not called" if spikes is None else f"of shape {tuple(spikes.shape)}"
                raise _differs(node, probe, f"the neuron is {what} when the module runs")
            if node.name in seen.graded:
                raise _differs(node, probe, "the module yields other values than 0 and 1")
        ties: dict[str, int] = {}
        loose: set[int] = set()
        if not self._same(seen, values):
            sources = [node.inputs[0] for node in self._graph.neurons]
            jumps = [source for node in self._jumps for source in node.inputs]
            forced = self._run(probe, seen.spikes, [*sources, *jumps])
            loose = self._near_jumps(forced)
            for node in self._graph.neurons:
                ties[node.name] = self._count_ties(node, probe, seen, forced, loose)
            for head, name in self._graph.heads.items():
                self._check_head(self._graph.nodes[name], head, probe, seen, forced, loose)
        populations = {name: values[name].numel() for name in self._neurons}
        return Call(probe, self._dtype, populations, sum(ties.values()))

    def _same(self, seen: Observation, values: Mapping[str, Value]) -> bool:
        """Whether all spikes and outputs are the same, without asking why."""
        return all(torch.equal(seen.spikes[name], values[name]) for name in self._neurons) and all(
            _equal(seen.heads[head], values[name], self._dtype)
            for head, name in self._graph.heads.items()
        )

    def _count_ties(
        self, node: Node, probe: Probe, seen: Observation, forced: Mapping[str, Value],
        loose: set[int],
    ) -> int:  # fmt: skip
        """How many ties a population has on the currents it gets from the module's spikes.

        A neuron has at most one in a sample: what follows it in the same neuron is of the tie.
        """
        op, spikes = node.op, seen.spikes[node.name]
        assert isinstance(op, Spiking)
        current = forced[node.inputs[0]]
        mine = current.expand(spikes.shape) if current.dim() < spikes.dim() else current
        theirs = seen.currents.get(node.name, mine)
        tied: set[tuple[int, ...]] = set()
        for step, sample, *place in (
            (fire_as_written(op, mine, self._store) != spikes).nonzero().tolist()
        ):
            neuron = tuple(place)
            if (sample, *neuron) in tied or sample in loose:
                continue
            column = (slice(0, step + 1), sample, *neuron)
            if not is_tie(op, neuron, mine[column], theirs[column], self._store, self._dtype):
                fires = int(spikes[(step, sample, *neuron)])
                said = f"the module fires {fires} and the recorded network {1 - fires}"
                where = f"at step {step}, sample {sample}, neuron ({', '.join(map(str, neuron))})"
                raise _differs(node, probe, f"{said} {where}")
            tied.add((sample, *neuron))
        return len(tied)

    def _check_head(
        self, node: Node, head: str, probe: Probe, seen: Observation,
        forced: Mapping[str, Value], loose: set[int],
    ) -> None:  # fmt: skip
        theirs, mine = seen.heads[head], forced[node.name]
        if theirs.shape != mine.shape:
            said = f"output `{head}` has shape {tuple(theirs.shape)} in the module and "
            raise _differs(node, probe, f"{said}{tuple(mine.shape)} in the recorded network")
        axis = int(node.signal.rate == "step")
        sure = torch.tensor([n for n in range(mine.shape[axis]) if n not in loose]).long()
        theirs, mine = theirs.index_select(axis, sure), mine.index_select(axis, sure)
        off = _apart(theirs, mine, self._dtype).nonzero()
        if len(off):
            index = tuple(off[0].tolist())
            said = f"output `{head}` is {float(theirs[index])!r} in the module and "
            place = ", ".join(map(str, index))
            raise _differs(
                node, probe, f"{said}{float(mine[index])!r} in the recorded network at ({place})"
            )

    def _near_jumps(self, forced: Mapping[str, Value]) -> set[int]:
        """Samples in which a comparison of real values outside of neurons may be a tie."""
        loose: set[int] = set()
        for node in self._jumps:
            reads = {source: forced[source] for source in node.inputs}
            for source, x in reads.items():
                if self._graph.nodes[source].signal.values.is_finite:
                    continue
                shift = TOLERANCE[self._dtype] * max(1.0, float(x.abs().max()))
                low, high = (
                    run_graph(self._graph, {}, keep=[node.name], forced=reads | {source: moved})
                    [node.name] for moved in (x - shift, x + shift)
                )  # fmt: skip
                axis = int(node.signal.rate == "step")
                loose |= {int(index[axis]) for index in (low != high).nonzero()}
        return loose


def _jumps(graph: Graph, node: Node) -> bool:
    """Whether it is a comparison of real values that depend on the input."""
    return (
        isinstance(node.op, Elementwise)
        and node.op.function in STEPPED
        and node.signal.rate != "static"
        and any(not graph.nodes[name].signal.values.is_finite for name in node.inputs)
    )


def _apart(one: Value, two: Value, dtype: torch.dtype) -> Value:
    """Where two values differ by more than rounding."""
    scale = max(1.0, float(one.nan_to_num(0.0, 0.0, 0.0).abs().max())) if one.numel() else 1.0
    near = (one - two).abs() <= TOLERANCE[dtype] * scale
    return ~(near | (one == two) | (one.isnan() & two.isnan()))


def _equal(one: Value, two: Value, dtype: torch.dtype) -> bool:
    return one.shape == two.shape and not bool(_apart(one, two, dtype).any())


class _NotRun(Exception):
    """The module does not run, for ``reason``; None where float64 is all there is to compare."""

    def __init__(self, reason: Exception | None) -> None:
        super().__init__(str(reason))
        self.reason = reason


def _same_fill(one: Place | None, two: Place | None) -> bool:
    """Whether two tensors hold one number each, and the same: zeros for another batch, say."""
    if one is not None and two is not None and one.value is two.value:
        return False
    numbers = []
    for place in (one, two):
        if place is None or not isinstance(place.value, torch.Tensor) or not place.value.numel():
            return False
        flat = place.value.detach().reshape(-1)
        if not bool((flat == flat[0]).all()):
            return False
        numbers.append(flat[0].item())
    return bool(numbers[0] == numbers[1])


def _identical(one: Observation, two: Observation) -> bool:
    """Whether everything that was seen is the same, bit for bit."""
    return all(
        mine.keys() == theirs.keys() and all(torch.equal(mine[n], theirs[n]) for n in mine)
        for mine, theirs in (
            (one.spikes, two.spikes), (one.currents, two.currents), (one.heads, two.heads)
        )
    )  # fmt: skip


def _chance() -> object:
    """The state of the generators that nobody owns."""
    numbers = np.random.get_state()
    return torch.get_rng_state().tolist(), random.getstate(), repr(numbers)


def _same_value(one: Place | None, two: Place | None) -> bool:
    """Whether a tensor that was written to, or another one, holds what it held."""
    if one is None or two is None or one.value is two.value:
        return False
    tensors = isinstance(one.value, torch.Tensor) and isinstance(two.value, torch.Tensor)
    return tensors and digest(one.value) == digest(two.value)


def _is_about_dtype(error: Exception) -> bool:
    return "dtype" in str(error) or "same data type" in str(error)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _raised(probe: Probe, error: Exception) -> str:
    return f"forward raises on the input `{probe.name}`: {_first_line(error)}"


def _not_verified(probe: Probe, error: Exception) -> Finding:
    where = f"on the input `{probe.name}` ({_samples(probe)})"
    said = f"the recorded network is not verified {where}: the module raises {_first_line(error)}"
    return Finding("SNN508", said, Location("forward"))


def _samples(probe: Probe) -> str:
    return f"{probe.samples} sample{'' if probe.samples == 1 else 's'}"


def _differs(node: Node, probe: Probe, said: str) -> SnnccError:
    where = f"on the input `{probe.name}` ({_samples(probe)})"
    message = f"`{node.name}` is not what the module computes {where}: {said}"
    return SnnccError(Finding("SNN321", message, node.origin, node.name))


def _kept(names: Sequence[str], between: str, said: str = "") -> SnnccError:
    what = ", ".join(f"`{name}`" for name in names[:4]) or "something outside of the module"
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    lives = "lives" if len(names) < 2 else "live"
    message = f"{what}{more} {lives} on from {between} and changes what is computed"
    if said:
        message += f": {said}"
    return refuse("SNN322", message, Location("forward"))
