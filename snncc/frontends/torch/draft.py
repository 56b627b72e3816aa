"""A Graph in the making: its nodes and tensors, and where in the user's code we are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch

from snncc.diagnostics import Location, SnnccError, refuse
from snncc.frontends.torch import source
from snncc.frontends.torch.axes import Extent
from snncc.ir.graph import Node
from snncc.ir.ops import Ref


class Draft:
    """What was made so far. ``single_step``: the module computes one step of many."""

    def __init__(self, samples: int, steps: int | None, single_step: bool) -> None:
        self.samples, self.steps, self.single_step = samples, steps, single_step
        self.nodes: dict[str, Node] = {}
        self.tensors: dict[str, np.ndarray] = {}
        self.inside_leaf = False
        self._modules: list[str] = [""]
        self._counts: dict[str, int] = {}
        self._contents: dict[tuple[tuple[int, ...], bytes], str] = {}

    def let_go(self) -> None:
        """Hold no tensor any longer: the parts of a recorder know each other, so that it stays
        until the garbage collector comes by."""
        self.nodes, self.tensors = {}, {}

    @property
    def extent(self) -> Extent:
        return Extent(self.steps, self.samples)

    # -- where we are ----------------------------------------------------------------------

    @property
    def module(self) -> str:
        return self._modules[-1]

    def enter(self, module: str) -> None:
        self._modules.append(module)

    def leave(self) -> None:
        self._modules.pop()

    @contextmanager
    def within(self, module: str) -> Iterator[None]:
        """While this runs, ``module`` is the one that runs."""
        self.enter(module)
        try:
            yield
        finally:
            self.leave()

    @contextmanager
    def unseen(self) -> Iterator[None]:
        """What runs in here is not recorded: what is inside of a leaf is its own business."""
        self.inside_leaf = True
        try:
            hidden = torch._C._DisableTorchDispatch()
            with torch._C.DisableTorchFunction(), hidden:
                yield
        finally:
            self.inside_leaf = False

    def here(self, applied: bool = False) -> Location:
        return source.here(self.module, applied)

    def here_or(self, error: BaseException) -> Location:
        """The user's line that raised ``error``."""
        return source.raised(error, self.module)

    def refuse(self, code: str, message: str, help: str = "") -> SnnccError:
        return refuse(code, message, self.here(), help=help)

    # -- nodes and tensors -----------------------------------------------------------------

    def unique(self, base: str) -> str:
        """``base``, then ``base:2``, ``base:3``, …; never the name of another node."""
        while True:
            count = self._counts[base] = self._counts.get(base, 0) + 1
            name = base if count == 1 else f"{base}:{count}"
            if name not in self.nodes:
                return name

    def insert(self, before: Sequence[Node], node: Node) -> None:
        """``node`` in place of the one of its name, and nodes that it reads before it."""
        nodes: dict[str, Node] = {}
        for name, old in self.nodes.items():
            if name == node.name:
                nodes.update((new.name, new) for new in before)
            nodes[name] = node if name == node.name else old
        self.nodes.clear()
        self.nodes.update(nodes)

    def array(self, array: np.ndarray, what: str, name: str = "") -> Ref:
        """``array`` in float64 under ``name``, or under the next free name for ``what``."""
        if name in self.tensors:
            if not np.array_equal(self.tensors[name], array):
                raise self.refuse("SNN310", f"tensor {name} is written to while forward runs")
            return Ref(name)
        whole = np.array(array, dtype=np.float64)
        if not name:
            content = whole.shape, whole.tobytes()
            name = self._contents.get(content) or self.unique(joined(self.module, what))
            self._contents[content] = name
        if name not in self.tensors:
            if not np.isfinite(whole).all():
                raise self.refuse("SNN307", f"tensor {name} has a NaN or infinite value")
            self.tensors[name] = whole
        return Ref(name)


def joined(module: str, what: str) -> str:
    return ".".join(part for part in (module, what) if part) or "network"
