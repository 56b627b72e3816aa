"""Steps of a value behind zeros: spikes that come some steps late."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from snncc import nn as blocks
from snncc.diagnostics import SnnccError
from snncc.frontends.torch import trace
from snncc.ir.ops import Delay


class Late(nn.Module):
    """Spikes that come ``steps`` late, of which the last ``lost`` never come."""

    def __init__(self, steps: int, lost: int, fill: float = 0.0) -> None:
        super().__init__()
        self.steps, self.lost, self.fill = steps, lost, fill
        self.fc, self.one, self.two = nn.Linear(4, 5), blocks.LIF(), blocks.IF(threshold=0.4)
        self.out = nn.Linear(5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        s = self.one(self.fc(x) * 3)
        rows = [torch.full_like(s[0], self.fill)] * self.steps + list(s.unbind(0))
        late = torch.stack(rows[: len(rows) - self.lost])
        return self.two(self.out(late) * 3)


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_zeros_before_the_steps_are_a_delay(agree, steps):
    torch.manual_seed(steps)
    graph, network = agree(Late(steps, steps).eval(), torch.rand(8, 2, 4))
    assert len(graph.of_type(Delay)) == steps
    assert [p.delay for p in network.incoming["two"]] == [steps]


@pytest.mark.parametrize(
    ("steps", "lost", "fill"), [(1, 0, 0.0), (2, 1, 0.0), (2, 3, 0.0), (1, 1, 1.0), (0, 1, 0.0)]
)
def test_other_lists_are_refused(steps, lost, fill):
    """Too many steps, too few, or something else than silence in front."""
    with pytest.raises(SnnccError) as caught:
        trace(Late(steps, lost, fill).eval(), torch.rand(8, 2, 4))
    assert caught.value.findings[0].code in ("SNN112", "SNN318")
