"""The nodes, names and constants of an ONNX model in the making."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from snncc.ir.graph import Graph, Node
from snncc.ir.ops import Number, Ref
from snncc.ir.registers import Whole

INT64 = 7  # onnx.TensorProto.INT64


@dataclass
class Scope:
    """The nodes of the model or of the body of a Scan, and what is known there by which name."""

    nodes: list[Any] = field(default_factory=list)
    values: dict[str, str] = field(default_factory=dict)


class Nodes:
    """Nodes that are added one by one, for the node ``of`` of a Graph, and the tensors they read.

    ``rounded``: the tensors that ``dtype`` cannot hold as they are.
    """

    def __init__(self, graph: Graph, dtype: type[np.floating[Any]]) -> None:
        from onnx import helper

        self.tensors, self.dtype = graph.tensors, np.dtype(dtype)
        self.type = helper.np_dtype_to_tensor_dtype(self.dtype)
        self.scope = Scope()
        self.initializers: dict[str, Any] = {}
        self.of: Node | None = None
        self.rounded: set[str] = set()
        self.names = {*graph.nodes, *graph.tensors}
        self._nodes = graph.nodes

    def __call__(self, kind: str, inputs: Sequence[str], **attributes: Any) -> str:
        """The value of a new node."""
        base = self.of.name if self.of is not None else "run"
        return self.add(kind, inputs, self.new(f"{base}.{kind.lower()}"), **attributes)

    def add(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """The same under a name of its own."""
        from onnx import helper

        domain = attributes.pop("domain", "")
        node = helper.make_node(
            kind, list(inputs), [output], name=output, domain=domain, **attributes
        )
        if self.of is not None and str(self.of.origin):
            node.metadata_props.add(key="origin", value=str(self.of.origin))
        self.scope.nodes.append(node)
        return output

    def new(self, base: str) -> str:
        name, count = base, 1
        while name in self.names:
            count += 1
            name = f"{base}:{count}"
        self.names.add(name)
        return name

    def constant(self, array: np.ndarray, name: str) -> str:
        from onnx import numpy_helper

        if name not in self.initializers:
            self.initializers[name] = numpy_helper.from_array(np.array(array, order="C"), name)
        return name

    def ints(self, values: Iterable[int]) -> str:
        whole = [int(value) for value in values]
        return self.constant(np.array(whole, np.int64), f"ints:{','.join(map(str, whole))}")

    def real(self, array: np.ndarray, name: str) -> str:
        """A tensor of reals in the model's own dtype."""
        cast = np.asarray(array).astype(self.dtype)
        if not np.array_equal(cast.astype(np.float64), np.asarray(array, np.float64)):
            self.rounded.add(name)
        return self.constant(cast, name)

    def tensor(self, ref: Ref) -> str:
        name = f"tensor:{ref}" if str(ref) in self._nodes else str(ref)
        return self.real(self.tensors[ref], name)

    def number(self, number: Number) -> str:
        if isinstance(number, Ref):
            return self.tensor(number)
        return self.real(np.array(number), f"number:{number!r}")

    def whole(self, number: Whole, factor: int = 1) -> str:
        if isinstance(number, Ref):
            return self.constant(
                self.tensors[number].astype(np.int64) * factor, f"whole:{number}*{factor}"
            )
        return self.constant(np.array(number * factor, np.int64), f"whole:{number * factor}")

    def with_features(self, value: str, lead: int, shape: Sequence[int], rank: int) -> str:
        """A value whose features get ones in front until there are ``rank``."""
        missing = rank - len(shape)
        if missing <= 0 or not lead:
            return value
        return self("Unsqueeze", [value, self.ints(range(lead, lead + missing))])
