"""Random networks: PyTorch, Graph and every form of the Network agree, spike for spike.

``SNNCC_GRAPHS`` says how many networks are drawn, 500 unless told otherwise.
``benchmarks/generated_networks.py`` draws 20,000, and its result is held here.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from agreement import Parted, Tally, check, check_all, compare
from random_networks import draw

from snncc.lowering import linear

GRAPHS = int(os.environ.get("SNNCC_GRAPHS", "500"))
BLOCK = 100
SIZE = 8
RECORD = Path(__file__).parents[2] / "benchmarks" / "results" / "generated_networks.json"


@pytest.fixture(autouse=True)
def one_thread():
    """Small tensors are slower on more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def block(first: int) -> Tally:
    return check_all(range(first, min(first + BLOCK, GRAPHS)), SIZE)


def hold(tally: Tally) -> None:
    """They are worth comparing: several populations each, gates among them, few that never fire."""
    assert tally.populations > 3 * tally.graphs
    assert tally.gates > tally.graphs / 3
    assert tally.silent < tally.populations / 3
    assert tally.ties <= tally.graphs / 20


@pytest.mark.slow
def test_the_first_networks_agree():
    tally = block(0)
    assert tally.graphs == min(BLOCK, GRAPHS)
    hold(tally)


def test_of_the_recorded_networks_none_differs():
    result = json.loads(RECORD.read_text(encoding="utf-8"))
    tally = Tally(**{name: result[name] for name in vars(Tally())})
    assert result["failed"] == 0
    assert tally.graphs >= 20_000
    assert tally.compared > 1000 * tally.graphs
    hold(tally)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(BLOCK, GRAPHS, BLOCK))
def test_more_networks_agree(first):
    assert block(first).graphs > 0


@pytest.mark.slow
@pytest.mark.parametrize("size", [12, 16])
def test_larger_networks_agree(size):
    assert check_all(range(10_000, 10_010), size).graphs == 10


def test_the_same_seed_draws_the_same_network():
    one, two = draw(7), draw(7)
    assert str(one) == str(two)
    assert torch.equal(one.inputs, two.inputs)
    assert str(draw(7, 4)).splitlines()[1:4] == str(one).splitlines()[1:4]


@pytest.mark.slow
def test_a_wrong_lowering_is_found_and_made_small(monkeypatch):
    """Every norm's constant part, and nothing else, gets lost."""
    right = linear.norm_parts

    def wrong(store, op, rank):
        scale, shift = right(store, op, rank)
        return scale, shift * 0

    monkeypatch.setattr(linear, "norm_parts", wrong)
    found = [seed for seed in range(20) if _parts(seed)]
    assert found
    with pytest.raises(Parted) as problem:
        check(found[0], SIZE)
    program = str(problem.value)
    assert "spikes differ" in program or "is off by" in program
    assert "batch norm" in program
    assert len(program.splitlines()) < len(str(draw(found[0], SIZE)).splitlines()) + 2


def _parts(seed: int) -> bool:
    try:
        compare(draw(seed, SIZE))
    except Parted:
        return True
    return False
