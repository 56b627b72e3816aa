"""The auxiliary accumulation pathway (AAP) of dual-stream training (arXiv 2301.11929)."""

from __future__ import annotations

from torch import Tensor, nn

from snncc.nn.over_time import OverTime


class AuxiliaryPathway(nn.Module):
    """One level of the AAP: a_l = P(a_{l−1}) + s_l, both (T, N, C, H, W) and real-valued.

    s_l is the block's spikes before its gate. P is the identity while the shape stays, otherwise
    [depthwise 3×3 (stride) → pointwise 1×1, or pointwise alone at stride 1] → BN → ReLU. Nothing
    here returns to the spike stream; the compiler strips it.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.project: nn.Module = nn.Identity()
        if in_channels != out_channels or stride != 1:
            depthwise = (
                []
                if stride == 1
                else [
                    nn.Conv2d(
                        in_channels,
                        in_channels,
                        3,
                        stride=stride,
                        padding=1,
                        groups=in_channels,
                        bias=False,
                    )
                ]
            )
            self.project = OverTime(
                nn.Sequential(
                    *depthwise,
                    nn.Conv2d(in_channels, out_channels, 1, bias=False),
                    nn.BatchNorm2d(out_channels),
                    nn.ReLU(),
                )
            )

    def forward(self, a: Tensor, s: Tensor) -> Tensor:
        """a (T, N, C_in, H, W), s (T, N, C_out, H', W') to the shape of s."""
        projected: Tensor = self.project(a)
        return projected + s
