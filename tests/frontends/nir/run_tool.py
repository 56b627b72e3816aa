"""Run a NIR file in one of the tools that read them, as its own documentation says.

    python run_tool.py TOOL FILE.nir INPUT.npy OUTPUT.npy DT

INPUT is (T, *features), one sample; OUTPUT what the tool yields at each step, (T, *features).
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Any

import nir
import numpy as np
import torch


def by_step(network: Any, x: torch.Tensor) -> torch.Tensor:
    """Step after step, with the state that the step before left."""
    state, found = None, []
    for each in x:
        out, state = network(each, state) if state is not None else network(each)
        found.append(out)
    return torch.stack(found)


def snntorch(graph: nir.NIRGraph, x: torch.Tensor, dt: float) -> torch.Tensor:
    from snntorch.import_nir import import_from_nir

    return by_step(import_from_nir(graph), x)


def norse(graph: nir.NIRGraph, x: torch.Tensor, dt: float) -> torch.Tensor:
    import norse.torch

    return by_step(norse.torch.from_nir(graph, dt=dt), x)


def spikingjelly(graph: nir.NIRGraph, x: torch.Tensor, dt: float) -> torch.Tensor:
    from spikingjelly.activation_based.nir_exchange import import_from_nir

    return by_step(import_from_nir(graph, dt=dt), x[:, None])[:, 0]


def sinabs(graph: nir.NIRGraph, x: torch.Tensor, dt: float) -> torch.Tensor:
    """All steps at once: its layers take (N·T, …)."""
    from sinabs.nir import from_nir

    for node in graph.nodes.values():
        for name in ("tau", "v_threshold", "v_leak", "r", "v_reset"):
            if isinstance(getattr(node, name, None), np.ndarray):
                setattr(node, name, torch.from_numpy(getattr(node, name)).float())
    out = from_nir(graph, batch_size=1)(x)
    return out[0] if isinstance(out, tuple) else out


TOOLS: dict[str, Callable[[nir.NIRGraph, torch.Tensor, float], torch.Tensor]] = {
    "snntorch": snntorch, "norse": norse, "spikingjelly": spikingjelly, "sinabs": sinabs,
}  # fmt: skip


def main() -> None:
    tool, file, given, wanted, dt = sys.argv[1:]
    logging.disable(logging.INFO)
    x = torch.from_numpy(np.load(given)).float()
    with torch.no_grad():
        out = TOOLS[tool](nir.read(file), x, float(dt))
    np.save(wanted, out.numpy())


if __name__ == "__main__":
    main()
