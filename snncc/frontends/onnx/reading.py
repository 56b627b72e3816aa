"""The bytes of an ONNX file as plain values, or one sentence about what is wrong with them."""

from __future__ import annotations

import importlib.util
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from snncc.diagnostics import Location, SnnccError, refuse
from snncc.frontends.onnx.external import bring_inside

LARGEST = 1 << 31
"""So many bytes a file has at most: protobuf itself holds no more."""

OPSETS = range(9, 29)
"""The versions of the operators that are read."""

LARGEST_INPUT = 1 << 25
"""So many numbers an input may hold, all steps and samples of the file together."""

DEPTH = 8
"""So deep bodies of loops may lie inside one another."""

OPERATIONS = 100_000
"""So many operations a file may hold, its functions written out wherever they are called."""

_FLOATS = frozenset({1, 11})  # FLOAT, DOUBLE
_WHOLE = frozenset({2, 3, 4, 5, 6, 7, 12})  # UINT8 INT8 UINT16 INT16 INT32 INT64 UINT32
_BOOL = 9
_FIX = "write the file again, as torch.onnx.export or snncc export do"

Value = np.ndarray
Size = int | str
"""One size of a shape: a number, or the name of one that is free."""


@dataclass(frozen=True)
class Operation:
    """A node: ``kind`` in ``domain``, names of what it reads ("" for nothing) and yields."""

    kind: str
    domain: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    path: str
    place: Location


@dataclass(frozen=True)
class Body:
    """The graph of a file, of a loop or of a function: operations in order, and constants."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    operations: tuple[Operation, ...]
    constants: Mapping[str, Value]

    @cached_property
    def last_uses(self) -> Mapping[int, Sequence[str]]:
        """Of each operation by its place the values that none behind it reads."""
        last: dict[str, int] = {}
        for place, operation in enumerate(self.operations):
            for name in (*operation.inputs, *operation.outputs, *_inside(operation)):
                last[name] = place
        uses: dict[int, list[str]] = {}
        for name, place in last.items():
            if name not in self.outputs:
                uses.setdefault(place, []).append(name)
        return uses


def _inside(operation: Operation) -> Iterator[str]:
    """What the body of a loop reads from around it."""
    for value in operation.attributes.values():
        if isinstance(value, Body):
            for inner in value.operations:
                yield from inner.inputs
                yield from _inside(inner)
            yield from value.outputs


@dataclass(frozen=True)
class File:
    """What an ONNX file holds. ``shapes``: of the inputs. ``functions`` by domain and name."""

    body: Body
    shapes: Mapping[str, tuple[Size, ...]]
    functions: Mapping[tuple[str, str], Body]
    own: frozenset[str]
    opset: int
    about: Mapping[str, str]
    source: str
    data: bytes = field(repr=False)

    def __deepcopy__(self, memo: dict[int, Any]) -> File:
        return self


def read_file(path: Path, source: str = "") -> File:
    """Open an ONNX file. Executes nothing in it; weights may lie in plain files beside it.

    Raises SnnccError: SNN317 where the package onnx is missing, SNN305 for a file that is not
    there, damaged or of another kind, SNN304 for one that asks for files elsewhere, SNN307 for
    weights that are not finite.
    """
    source = source or str(path)
    if importlib.util.find_spec("onnx") is None:
        raise refuse(
            "SNN317", f"the package onnx, which reads {source}, is not installed",
            help='pip install "snncc[onnx]"',
        )  # fmt: skip
    try:
        if path.stat().st_size >= LARGEST:
            raise refuse("SNN305", f"{source} has 2 GB or more", help=_FIX)
        data = path.read_bytes()
    except OSError as error:
        raise refuse("SNN305", f"{source} cannot be read: {error.strerror}") from error
    return read_bytes(data, source, path.parent)


def read_bytes(data: bytes, source: str, folder: Path | None = None) -> File:
    """The same, of the bytes of a file; without ``folder`` no other file is opened."""
    import onnx

    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:
        raise refuse("SNN305", f"{source} is no ONNX file: {short(error)}", help=_FIX) from None
    if folder is not None and bring_inside(model, folder, source, LARGEST - len(data)):
        data = model.SerializeToString(deterministic=True)
    reading = _Reading(model, source)
    try:
        reading.check()
        onnx.checker.check_model(model)
    except SnnccError:
        raise
    except Exception as error:
        raise refuse("SNN305", f"{source} is damaged: {short(error)}", help=_FIX) from None
    try:
        return reading.file(data)
    except SnnccError:
        raise
    except Exception as error:  # texts that are no UTF-8, sizes beyond all bounds, …
        raise refuse("SNN305", f"{source} is damaged: {short(error)}", help=_FIX) from None


def short(error: BaseException) -> str:
    """The first line of an error, without what a terminal would not show."""
    text = " ".join(str(error).split()) or type(error).__name__
    plain = "".join(letter if letter.isprintable() else "?" for letter in text)
    return plain if len(plain) <= 160 else f"{plain[:157]}..."


class _Reading:
    """Reads one model."""

    def __init__(self, model: Any, source: str) -> None:
        self._model, self._source = model, source

    def _damaged(self, said: str) -> SnnccError:
        return refuse("SNN305", f"{self._source} is damaged: {said}", help=_FIX)

    # -- before anything is believed -----------------------------------------------------------

    def check(self) -> None:
        """Raise SnnccError for what tools that read the file later would stumble over."""
        model = self._model
        if not model.graph.node:
            raise self._damaged("it has no nodes")
        versions = {each.domain: each.version for each in model.opset_import}
        if model.training_info:
            raise refuse("SNN308", f"{self._source} holds the training of a network", help=_FIX)
        opset = versions.get("", versions.get("ai.onnx"))
        if opset not in OPSETS:
            known = f"{OPSETS.start} to {OPSETS.stop - 1}"
            said = f"{self._source} uses version {opset} of ONNX's operators, not {known}"
            raise refuse("SNN305", said, help=_FIX)
        for graph in self._graphs(model.graph, 0):
            if graph.sparse_initializer:
                raise refuse("SNN305", f"{self._source} has sparse tensors", help=_FIX)
            for tensor in graph.initializer:
                self._check_tensor(tensor)
        for function in model.functions:
            for node in function.node:
                for _ in self._inside(node, 0):
                    pass
        self._check_expansion()

    def _graphs(self, graph: Any, depth: int) -> Iterator[Any]:
        """A graph and all that lie inside it. Raises SnnccError where they lie too deep."""
        if depth > DEPTH:
            raise self._damaged(f"more than {DEPTH} loops lie inside one another")
        yield graph
        for node in graph.node:
            yield from self._inside(node, depth)

    def _inside(self, node: Any, depth: int) -> Iterator[Any]:
        for attribute in node.attribute:
            tensors = [attribute.t] if attribute.HasField("t") else []
            for tensor in (*tensors, *attribute.tensors):
                self._check_tensor(tensor)
            graphs = [attribute.g] if attribute.HasField("g") else []
            for inner in (*graphs, *attribute.graphs):
                yield from self._graphs(inner, depth + 1)

    def _check_tensor(self, tensor: Any) -> None:
        """Raise SnnccError for data in another file, a type not known, a size that lies."""
        name = plain(tensor.name)
        if tensor.data_location == 1 or tensor.external_data:
            said = f"tensor `{name}` of {self._source} lies in another file"
            raise refuse("SNN304", said, help="save the weights inside the model's file")
        known = tensor.data_type in _FLOATS | _WHOLE or tensor.data_type in (_BOOL, 8)
        if not known:
            said = f"tensor `{name}` of {self._source} has the type {_type(tensor.data_type)}"
            raise refuse("SNN305", f"{said}, which is not read", help="save it in float32")
        if any(size < 0 for size in tensor.dims):
            raise self._damaged(f"tensor `{name}` has a negative size")
        wide = {1: 4, 11: 8, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 12: 4, 9: 1}
        count = math.prod(tensor.dims)
        if tensor.HasField("raw_data") and tensor.data_type in wide:
            size = len(tensor.raw_data)
            if size != count * wide[tensor.data_type]:
                said = f"tensor `{name}` of shape {tuple(tensor.dims)} has {size} bytes"
                raise self._damaged(said)
        elif tensor.data_type != 8:
            longest = max(len(tensor.float_data), len(tensor.int32_data), len(tensor.int64_data),
                          len(tensor.double_data), len(tensor.uint64_data))  # fmt: skip
            if longest != count:
                said = f"tensor `{name}` of shape {tuple(tensor.dims)} has {longest} numbers"
                raise self._damaged(said)

    def _check_expansion(self) -> None:
        """Raise SnnccError where functions call themselves, or too much when written out."""
        functions = {(f.domain, f.name): f for f in self._model.functions}
        sizes: dict[tuple[str, str], int] = {}
        open_: set[tuple[str, str]] = set()

        def size_of(nodes: Iterable[Any]) -> int:
            total = 0
            for node in nodes:
                key = (node.domain, node.op_type)
                total += size(key) if key in functions else 1
                for attribute in node.attribute:
                    graphs = [attribute.g] if attribute.HasField("g") else []
                    total += sum(size_of(g.node) for g in (*graphs, *attribute.graphs))
                if total > OPERATIONS:
                    raise self._damaged(f"written out it has more than {OPERATIONS:,} operations")
            return total

        def size(key: tuple[str, str]) -> int:
            if key in open_:
                raise self._damaged(f"function `{plain(key[1])}` calls itself")
            if key not in sizes:
                if len(open_) > 64:
                    raise self._damaged("functions call one another more than 64 deep")
                open_.add(key)
                sizes[key] = size_of(functions[key].node)
                open_.discard(key)
            return sizes[key]

        size_of(self._model.graph.node)
        for key in functions:
            size(key)

    # -- plain values --------------------------------------------------------------------------

    def file(self, data: bytes) -> File:
        model = self._model
        functions: dict[tuple[str, str], Body] = {}
        for function in model.functions:
            if function.attribute or function.attribute_proto:
                named = f"function `{plain(function.name)}`"
                raise refuse("SNN301", f"{named} of {self._source} has attributes", help=_FIX)
            operations, constants = self._operations(function.node)
            functions[function.domain, function.name] = Body(
                tuple(function.input), tuple(function.output), operations, constants
            )
        body = self._body(model.graph)
        shapes = {
            each.name: tuple(
                d.dim_value if d.HasField("dim_value") else d.dim_param or "?"
                for d in each.type.tensor_type.shape.dim
            )
            for each in model.graph.input
        }
        if not body.inputs:
            raise self._damaged("it has no input")
        for name in body.inputs:
            known = [size for size in shapes[name] if isinstance(size, int)]
            if any(size < 1 for size in known) or math.prod(known) > LARGEST_INPUT:
                shown = tuple(shapes[name])
                raise self._damaged(f"its input `{plain(name)}` has the shape {shown}")
        opset = {each.domain: each.version for each in model.opset_import}
        about = {each.key: each.value for each in model.metadata_props}
        own = frozenset(f.name for f in model.functions if _is_ours(f))
        return File(
            body, {name: shapes[name] for name in body.inputs}, functions, own,
            opset.get("", opset.get("ai.onnx", 0)), about, self._source, data,
        )  # fmt: skip

    def _body(self, graph: Any) -> Body:
        operations, constants = self._operations(graph.node)
        known = {tensor.name: self._array(tensor) for tensor in graph.initializer}
        inputs = tuple(each.name for each in graph.input if each.name not in known)
        return Body(inputs, tuple(o.name for o in graph.output), operations, {**known, **constants})

    def _operations(self, nodes: Iterable[Any]) -> tuple[tuple[Operation, ...], dict[str, Value]]:
        operations: list[Operation] = []
        constants: dict[str, Value] = {}
        for node in nodes:
            attributes = {a.name: self._attribute(a) for a in node.attribute}
            name = plain(node.name or (node.output[0] if node.output else node.op_type))
            domain = "" if node.domain == "ai.onnx" else node.domain
            if node.op_type == "Constant" and not domain:
                constants[node.output[0]] = _constant(attributes, name)
                continue
            path, place = _origin(node, name)
            operations.append(Operation(
                node.op_type, domain, name, tuple(node.input), tuple(node.output), attributes,
                path, place,
            ))  # fmt: skip
        return tuple(operations), constants

    def _attribute(self, attribute: Any) -> Any:
        if attribute.ref_attr_name:
            raise refuse("SNN301", f"a function of {self._source} has attributes", help=_FIX)
        match attribute.type:
            case 1:
                return float(attribute.f)
            case 2:
                return int(attribute.i)
            case 3:
                return attribute.s.decode("utf-8", "replace")
            case 4:
                return self._array(attribute.t)
            case 5:
                return self._body(attribute.g)
            case 6:
                return [float(value) for value in attribute.floats]
            case 7:
                return [int(value) for value in attribute.ints]
            case 8:
                return [value.decode("utf-8", "replace") for value in attribute.strings]
        return None

    def _array(self, tensor: Any) -> Value:
        from onnx import numpy_helper

        name = plain(tensor.name)
        if tensor.data_type == 8:
            raise refuse("SNN301", f"tensor `{name}` of {self._source} holds text", help=_FIX)
        array: Value = numpy_helper.to_array(tensor)
        # an end of an interval may be infinite, and is one number
        if (
            array.dtype.kind == "f"
            and (np.isnan(array) | (np.isinf(array) & (array.size > 1))).any()
        ):
            raise refuse("SNN307", f"`{name}` in {self._source} holds NaN or infinity")
        return array if array.dtype.kind in "fb" else array.astype(np.int64)


def _is_ours(function: Any) -> bool:
    """Whether it is the function that `snncc.ir.neuron_functions` writes under this name."""
    from snncc.ir.neuron_functions import DOMAIN, kinds

    own = function.name.removesuffix("Step")
    kind = kinds().get(own)
    if function.domain != DOMAIN or kind is None:
        return False
    step, whole = kind.functions
    return _content(function) == _content(step if own != function.name else whole)


def _content(function: Any) -> bytes:
    """What a function computes, without what documents it."""
    copy = type(function)()
    copy.CopyFrom(function)
    for name in ("doc_string", "metadata_props", "value_info"):
        copy.ClearField(name)
    content: bytes = copy.SerializeToString(deterministic=True)
    return content


def _constant(attributes: Mapping[str, Any], name: str) -> Value:
    for key, kind in (
        ("value", None), ("value_float", np.float32), ("value_floats", np.float32),
        ("value_int", np.int64), ("value_ints", np.int64),
    ):  # fmt: skip
        if key in attributes:
            return np.asarray(attributes[key], kind)
    raise refuse("SNN301", f"constant `{name}` is neither a tensor nor a number", help=_FIX)


_FRAME = re.compile(r'File "([^"]*)", line (\d+)')
_LIBRARY = re.compile(r"(^|/)(torch|site-packages)/|^(linear|conv|batchnorm|pooling|module|"
                      r"container|activation|flatten|dropout)\.py$")  # fmt: skip


def frames_of(trace: str) -> list[tuple[str, int]]:
    """File and line of each call in a stack trace that torch left, without those of libraries."""
    found = _FRAME.findall(trace)
    return [(file, int(line)) for file, line in found if not _LIBRARY.search(file)]


def _origin(node: Any, name: str) -> tuple[str, Location]:
    """The path of the module that a node comes from, and where it is written down.

    torch.onnx.export leaves the path in metadata, or in the name of the node; copies of a node, one
    for each step, are numbered and have one origin.
    """
    about = {each.key: each.value for each in node.metadata_props}
    scopes = about.get("pkg.torch.onnx.name_scopes", "")
    if scopes:
        path = ".".join(re.findall(r"'([^']*)'", scopes)[1:-1][-1:])
    elif name.startswith("/"):
        path = ".".join(name.strip("/").split("/")[:-1])
    else:
        path = ""
    frames = frames_of(about.get("pkg.torch.onnx.stack_trace", ""))
    if frames:
        return path, Location(path, *frames[-1])
    numbered = re.sub(r"_\d+$", "", name) if name.startswith("/") else name
    return path, Location(numbered.strip("/").replace("/", "."))


def plain(name: str) -> str:
    """A name as a terminal may show it."""
    shown = "".join(letter if letter.isprintable() else "?" for letter in name)
    return shown if len(shown) <= 80 else f"{shown[:77]}..."


def _type(number: int) -> str:
    import onnx

    names: Sequence[str] = onnx.TensorProto.DataType.keys()
    return names[number].lower() if 0 <= number < len(names) else f"number {number}"
