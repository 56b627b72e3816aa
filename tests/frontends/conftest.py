"""A module against its trace and against the Network it compiles to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from snncc.frontends.torch import arrange, observe, trace
from snncc.ir.graph import Graph
from snncc.ir.interpreter import run_graph, run_network
from snncc.ir.network import Network
from snncc.ir.text import parse_graph, parse_network, print_graph, print_network
from snncc.pipeline import frontend_passes, run


def agree(
    module: nn.Module, example: torch.Tensor, head: str | None = None, **options: Any
) -> tuple[Graph, Network]:
    """Trace and compile ``module``, and hold both against it on 1 and on 5 samples, in float64.

    Every neuron of the module is compared, every step and sample, the heads too; some of its
    neurons must fire and some be silent. Both forms must print and parse back.
    """
    graph = trace(module, example, **options)
    network = run(graph, frontend_passes(head=head)).form
    assert isinstance(network, Network)
    tensors = {n: x for e in network.encoders for n, x in e.graph.tensors.items()}
    text = print_network(network)
    assert print_network(parse_network(text, tensors | dict(network.tensors))) == text
    assert print_graph(parse_graph(print_graph(graph), graph.tensors)) == print_graph(graph)
    (node,) = graph.inputs
    for samples in (1, 5):
        shape = list(example.shape)
        shape[node.signal.axes.index("N")] = samples
        data = torch.rand(shape, generator=torch.Generator().manual_seed(samples))
        if options.get("input") == "spike":
            data = (data < 0.4).float()
        _agree_on(module, data, graph, network)
    return graph, network


def _agree_on(module: nn.Module, data: torch.Tensor, graph: Graph, network: Network) -> None:
    seen = observe(module, data, graph)
    assert seen.spikes.keys() == {neuron.name for neuron in graph.neurons}
    inputs = arrange(data, graph)
    values = run_graph(graph, inputs, keep=set(seen.spikes))
    forced = run_network(network, inputs, forced=seen.spikes)
    free = run_network(network, inputs)
    for name, spikes in seen.spikes.items():
        assert torch.equal(values[name], spikes), name
        assert spikes.shape[1] == 1 or 0 < spikes.mean() < 1, name
        if name in network.places:
            assert torch.equal(free.spikes[name], spikes), name
    assert forced.compared
    assert not forced.mismatches
    assert not forced.ties
    for head, name in graph.heads.items():
        torch.testing.assert_close(values[name], seen.heads[head])
    for head, logits in free.logits.items():
        whole = seen.heads[head.removesuffix(".readout")]
        whole = whole.mean(0) if whole.dim() > logits.dim() else whole
        torch.testing.assert_close(logits, whole)


@pytest.fixture(name="agree")
def _agree() -> Callable[..., tuple[Graph, Network]]:
    return agree
