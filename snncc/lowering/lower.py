"""Lowering as a function: every neuron's input as Σ A_i(s_i) + b, or the reason why not.

Numbered as in `snncc.passes.lower`:

1. linear regions: conv, dense, average pool, norm, scale, add, reshape, concat, slice, … between
   spikes and the next neuron become chains of linear maps; adds become several projections,
   concat becomes zeros around; the constant part is the region at zero input; spikes of the step
   before (``Delay``) are projections with a delay (`linear`)
2. elementwise groups over spikes become affine parts, one gate, or AND gates and an affine part
   (`elementwise`, `tables`, `cones`, `gates`)
3. max pool on spikes is OR over the window: a gate (`pooling`)
4. what depends on nothing but the analog input stays on the host: an encoder (`encoders`)
5. what follows the last spikes is a readout (`readout`)
6. everything else is a finding, and the analysis goes on (`refusals`)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from snncc.diagnostics import Finding
from snncc.ir.graph import Graph
from snncc.ir.network import Network
from snncc.ir.ops import Spiking
from snncc.lowering.combination import Region
from snncc.lowering.draft import Draft
from snncc.lowering.encoders import on_host
from snncc.lowering.neurons import neuron
from snncc.lowering.readout import read_out, suffix
from snncc.lowering.values import value
from snncc.lowering.whole_numbers import in_registers


@dataclass(frozen=True)
class Lowered:
    """What became of a Graph.

    ``part`` is all that lowers; neurons whose input was refused send spikes from outside there.
    ``regions``: what every value that was asked for is made of.
    """

    part: Network
    findings: tuple[Finding, ...]
    regions: Mapping[str, Region]

    @property
    def network(self) -> Network | None:
        """The whole network; None when a finding is an error."""
        return None if any(finding.is_error for finding in self.findings) else self.part

    @property
    def broken(self) -> frozenset[str]:
        """Nodes whose value is not linear in spikes because of some finding."""
        return frozenset(name for name, region in self.regions.items() if region.broken)


def lower(graph: Graph, strict: bool = False) -> Lowered:
    """The first head of ``graph`` as a Network, with all that is found on the way.

    ``strict`` makes analog work on the host an error. Several passes ask for the same; a Graph and
    its copies are lowered once.
    """
    key = (lower, strict)
    if key not in graph.derived:
        graph.derived[key] = _lowered(graph, strict)
    lowered: Lowered = graph.derived[key]
    return lowered


def _lowered(graph: Graph, strict: bool) -> Lowered:
    head = next(iter(graph.heads))
    needed = graph.ancestors(graph.heads[head])
    draft = Draft(graph, strict, on_host(graph), needed, suffix(graph, head), value)
    for node in graph.nodes.values():
        if node.name in needed and isinstance(node.op, Spiking):
            neuron(draft, node)
    read_out(draft, head)
    in_registers(draft)
    lowered = Lowered(draft.network, draft.findings, draft.regions)
    if lowered.broken and lowered.network is not None:
        raise AssertionError(f"no finding says why {min(lowered.broken)} is refused")
    return lowered
