"""fold-bn: rules 1 to 7 on small networks, and the spikes on random ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from snncc.ir.interpreter import run_network
from snncc.ir.network import Network
from snncc.ir.text import parse_network, print_network
from snncc.passes.fold_bn import FoldBn

CHAIN = """network chain steps=4 {
  source %x [2,5,5] spike
  neuron %a [3,5,5] {threshold=1.5, bias=@b, initial=0.25}
    %x -> %a > conv{weight=@w, padding=(1, 1)} > scale{factor=@f}
  readout %0 [3,5,5] {over_time='none'}
    %a -> %0
  tensor @f float64 [3,1,1] = [[[2.0]], [[-0.5]], [[0.0]]]
  tensor @b float64 [3,1,1] = [[[0.5]], [[0.25]], [[0.75]]]
  tensor @w float64 [3,2,3,3]
}"""


def weights(**shapes: tuple[int, ...]) -> dict[str, np.ndarray]:
    source = np.random.default_rng(0)
    return {name: source.normal(size=shape) for name, shape in shapes.items()}


def same_spikes(before: Network, after: Network, seed: int = 0) -> None:
    source = torch.Generator().manual_seed(seed)
    inputs = {
        s.name: (torch.rand(6, 3, *s.shape, generator=source) < 0.4).double()
        for s in before.sources
    }
    first = run_network(before, inputs)
    second = run_network(after, inputs, forced=first.spikes)
    assert second.compared > 0
    assert second.mismatches == 0, second.disagreements[0]
    assert any(0 < float(s.mean()) < 1 for s in first.spikes.values())


def test_one_projection_goes_into_threshold_bias_and_initial():  # rules 1, 3, 4
    before = parse_network(CHAIN, weights(w=(3, 2, 3, 3)))
    after = FoldBn()(before).form
    neuron = after.places["a"].neuron
    np.testing.assert_array_equal(after.tensors[neuron.threshold].ravel(), [0.75, 3.0, 1.5])
    np.testing.assert_array_equal(after.tensors[neuron.bias].ravel(), [0.25, 0.5, 0.75])
    np.testing.assert_array_equal(after.tensors[neuron.initial].ravel(), [0.125, 0.5, 0.25])
    (projection,) = after.incoming["a"]
    conv, diagonal = projection.map
    assert conv.weight == "w"
    np.testing.assert_array_equal(after.tensors[diagonal.factor].ravel(), [1, -1, 0])
    same_spikes(before, after)


def test_a_positive_scale_leaves_no_diagonal():  # rule 4
    text = CHAIN.replace("[[[2.0]], [[-0.5]], [[0.0]]]", "[[[2.0]], [[0.5]], [[3.0]]]")
    after = FoldBn()(parse_network(text, weights(w=(3, 2, 3, 3)))).form
    assert [type(op).__name__ for op in after.incoming["a"][0].map] == ["Conv"]


TWO = """network two steps=4 {
  source %x [4] spike
  neuron %a [3] {bias=0.1}
    %x -> %a > dense{weight=@w} > scale{factor=@f}
    %x -> %a > dense{weight=@v} > scale{factor=@g}
  neuron %c [3] {}
    %a -> %c
    %x -> %c > dense{weight=@v} > scale{factor=-0.5}
  readout %0 [3] {over_time='none'}
    %c -> %0
  tensor @f float64 [3] = [2.0, 0.0, 0.0]
  tensor @g float64 [3] = [-3.0, 0.5, 0.0]
  tensor @w float64 [3,4]
  tensor @v float64 [3,4]
}"""


def test_the_ratio_stays_on_the_others():  # rules 2 and 3
    before = parse_network(TWO, weights(w=(3, 4), v=(3, 4)))
    after = FoldBn()(before).form
    neuron = after.places["a"].neuron
    np.testing.assert_allclose(after.tensors[neuron.threshold], [0.5, 2.0, 1.0])
    first, second = after.incoming["a"]
    np.testing.assert_array_equal(after.tensors[first.map[-1].factor], [1, 0, 0])
    np.testing.assert_array_equal(after.tensors[second.map[-1].factor], [-1.5, 1, 0])
    same_spikes(before, after)


def test_into_weights_leaves_the_neurons_alone():  # rule 5
    before = parse_network(TWO, weights(w=(3, 4), v=(3, 4)))
    after = FoldBn(into="weights")(before).form
    assert after.places == before.places
    assert all(len(p.map) <= 1 for p in after.projections)
    same_spikes(before, after)


def test_gates_keep_their_whole_numbers():  # rule 6
    text = """network g steps=3 {
  source %x [4] spike
  gate %g [4] {decay=0.0, threshold=2.0, bias=1.0}
    %x -> %g > scale{factor=-2.0}
    %x -> %g after 1
  readout %0 [4] {over_time='none'}
    %g -> %0
}"""
    before = parse_network(text)
    assert print_network(FoldBn()(before).form) == print_network(before)


@pytest.mark.parametrize(("factor", "folded"), [(3.0, False), (-2.0, False), (0.7, True)])
def test_whole_numbers_are_left(factor, folded):  # rule 7
    text = f"""network sums steps=4 {{
  source %x [3] spike
  neuron %a [3] {{threshold=1.75, reset='soft'}}
    %x -> %a > scale{{factor={factor}}}
    %x -> %a
  readout %0 [3] {{over_time='none'}}
    %a -> %0
}}"""
    before = parse_network(text, {})
    after = FoldBn()(before).form
    assert (after.places["a"].neuron.threshold != 1.75) == folded


@pytest.mark.parametrize("into", ["threshold", "weights"])
@pytest.mark.parametrize("reset", ["hard", "soft"])
@pytest.mark.parametrize("current", ["", "current_decay=0.5, current_initial=1.0, "])
@pytest.mark.parametrize("seed", range(10))
def test_spikes_stay_on_random_norms(into, reset, current, seed):
    source = np.random.default_rng(seed)
    f = source.normal(size=(3, 1, 1)) * (source.random((3, 1, 1)) > 0.2)
    tensors = weights(w=(3, 2, 3, 3))
    text = CHAIN.replace("initial=0.25", f"initial=0.25, {current}decay=0.5, reset='{reset}'")
    before = parse_network(text.replace("[[[2.0]], [[-0.5]], [[0.0]]]", str(f.tolist())), tensors)
    same_spikes(before, FoldBn(into=into)(before).form, seed)
