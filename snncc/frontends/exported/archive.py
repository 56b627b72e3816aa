"""The bytes of a .pt2 archive as plain values, or one sentence about what is wrong with them.

Format: torch.export's archive, schema version 8 (torch/_export/serde/schema.py of PyTorch 2.9 on):
``models/NAME.json`` has the graph, ``data/weights`` raw numbers. Pickles in it are not opened.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from snncc.diagnostics import Location, SnnccError, refuse
from snncc.frontends.checkpoints.checkpoint import Checkpoint, Said
from snncc.frontends.exported.aten import DOMAIN, Argument, Dtype
from snncc.frontends.onnx.module import FileModule, example_of
from snncc.frontends.onnx.reading import (
    LARGEST,
    LARGEST_INPUT,
    OPERATIONS,
    Body,
    File,
    Operation,
    Size,
    Value,
    frames_of,
    plain,
    short,
)

SCHEMA = 8
LARGEST_TEXT = 1 << 28
"""So many bytes the description of a graph may have."""

_DTYPES: Mapping[int, type[Any]] = {
    1: np.uint8, 2: np.int8, 3: np.int16, 4: np.int32, 5: np.int64, 7: np.float32, 8: np.float64,
    12: np.bool_,
}  # fmt: skip
_FIX = "write the archive again with torch.export.save"


def open_archive(spec: str, allow: Sequence[str] = (), said: Said | None = None) -> Checkpoint:
    """Open a .pt2 archive as a network. Executes nothing in it and unpickles nothing.

    Raises SnnccError: SNN305 for a file that is not there, damaged or of another kind, SNN304 for
    tensors that are pickled, SNN307 for weights that are not finite, SNN301 for what a network here
    cannot have.
    """
    try:
        path = Path(spec)
        if path.stat().st_size >= LARGEST:
            raise refuse("SNN305", f"{spec} has 2 GB or more", help=_FIX)
        data = path.read_bytes()
    except OSError as error:
        raise refuse("SNN305", f"{spec} cannot be read: {error.strerror}") from error
    file = read_archive(data, spec)
    return Checkpoint(
        module=FileModule(file).eval(), **example_of(file), dtype=torch.float32, source=spec,
        sha256=hashlib.sha256(data).hexdigest(),
    )  # fmt: skip


def read_archive(data: bytes, source: str) -> File:
    """The network of an archive as plain values; raises as `open_archive` does."""
    try:
        return _Reading(data, source).file()
    except SnnccError:
        raise
    except Exception as error:  # a bad zip, JSON of another form, sizes beyond all bounds, …
        raise refuse("SNN305", f"{source} is no PyTorch 2 archive, or it is damaged: "
                     f"{short(error)}", help=_FIX) from None  # fmt: skip


class _Reading:
    """Reads one archive."""

    def __init__(self, data: bytes, source: str) -> None:
        self._data, self._source = data, source
        self._zip = zipfile.ZipFile(io.BytesIO(data))
        self._names = {name.partition("/")[2]: name for name in self._zip.namelist()}

    def _damaged(self, said: str) -> SnnccError:
        return refuse("SNN305", f"{self._source} is damaged: {said}", help=_FIX)

    def _member(self, name: str, most: int) -> bytes:
        if name not in self._names:
            raise self._damaged(f"it has no {plain(name)}")
        info = self._zip.getinfo(self._names[name])
        if info.file_size > most or info.compress_type != zipfile.ZIP_STORED:
            raise self._damaged(f"{plain(name)} is too large or packed")
        return self._zip.read(info)

    def _json(self, name: str) -> Any:
        return json.loads(self._member(name, LARGEST_TEXT))

    def file(self) -> File:
        models = [n for n in self._names if n.startswith("models/") and n.endswith(".json")]
        if len(models) != 1:
            raise self._damaged(f"it holds {len(models)} networks")
        program = self._json(models[0])
        version = program["schema_version"]["major"]
        if version != SCHEMA:
            said = f"{self._source} has version {version} of torch.export's schema, not {SCHEMA}"
            raise refuse("SNN305", said, help=_FIX)
        graph, signature = program["graph_module"]["graph"], program["graph_module"]["signature"]
        stored = {**self._tensors("weights", "model_weights_config.json"),
                  **self._tensors("constants", "model_constants_config.json")}  # fmt: skip
        constants, inputs = self._inputs(signature["input_specs"], stored)
        outputs = self._outputs(signature["output_specs"])
        if len(graph["nodes"]) > OPERATIONS:
            raise self._damaged(f"it has more than {OPERATIONS:,} operations")
        operations = tuple(
            self._operation(node) for node in graph["nodes"] if not _only_asserts(node)
        )
        for each in operations:
            if each.kind.partition(".")[0].endswith("_") and each.inputs[0] in constants:
                raise self._keeps(each.inputs[0])
        self._check_order(operations, {*inputs, *constants}, outputs)
        shapes = {name: self._shape(graph["tensor_values"][name]) for name in inputs}
        for name, shape in shapes.items():
            known = [size for size in shape if isinstance(size, int)]
            if any(size < 1 for size in known) or math.prod(known) > LARGEST_INPUT:
                raise self._damaged(f"its input `{plain(name)}` has the shape {shape}")
        body = Body(inputs, outputs, operations, constants)
        return File(body, shapes, {}, frozenset(), 0, {}, self._source, self._data)

    # -- tensors -------------------------------------------------------------------------------

    def _tensors(self, folder: str, config: str) -> dict[str, Value]:
        found: dict[str, Value] = {}
        for name, entry in self._json(f"data/{folder}/{config}")["config"].items():
            if entry.get("use_pickle"):
                said = f"tensor `{plain(name)}` of {self._source} is pickled"
                raise refuse("SNN304", said, help=_FIX)
            meta = entry["tensor_meta"]
            shape = [size["as_int"] for size in meta["sizes"]]
            dtype = _DTYPES.get(meta["dtype"])
            if dtype is None or any(size < 0 for size in shape):
                raise self._damaged(f"tensor `{plain(name)}` has a dtype or a size of no use")
            raw = self._member(f"data/{folder}/{entry['path_name']}", LARGEST)
            strides, expected = [s["as_int"] for s in meta["strides"]], _strides(shape)
            size = math.prod(shape) * np.dtype(dtype).itemsize
            matters = [s for s, n in zip(zip(strides, expected, strict=True), shape, strict=True)
                       if n > 1]  # fmt: skip
            plain_order = all(mine == its for mine, its in matters)
            if len(raw) != size or meta["storage_offset"]["as_int"] or not plain_order:
                raise self._damaged(f"tensor `{plain(name)}` of shape {tuple(shape)} has "
                                    f"{len(raw)} bytes")  # fmt: skip
            array = np.frombuffer(raw, dtype).reshape(shape)
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                said = f"`{plain(name)}` in {self._source} holds NaN or infinity"
                raise refuse("SNN307", said)
            found[name] = array if array.dtype.kind in "fb" else array.astype(np.int64)
        return found

    def _inputs(
        self, specs: Sequence[Mapping[str, Any]], stored: Mapping[str, Value]
    ) -> tuple[dict[str, Value], tuple[str, ...]]:
        """Constants by the names they have in the graph, and the inputs."""
        constants: dict[str, Value] = {}
        inputs: list[str] = []
        for spec in specs:
            ((kind, entry),) = spec.items()
            match kind:
                case "user_input":
                    inputs.append(entry["arg"]["as_tensor"]["name"])
                case "parameter" | "buffer" | "tensor_constant":
                    constants[entry["arg"]["name"]] = stored[entry[f"{kind}_name"]]
                case _:
                    said = f"{self._source} takes `{plain(kind)}`, which no network here has"
                    raise refuse("SNN301", said, help=_FIX)
        if len(inputs) != 1:
            said = f"{self._source} takes {len(inputs)} inputs, and a network here takes one"
            raise refuse("SNN301", said, help="export a module whose forward takes one tensor")
        return constants, tuple(inputs)

    def _keeps(self, what: str) -> SnnccError:
        said = f"{self._source} leaves something behind for its next call, `{plain(what)}`"
        help = "export a module that keeps nothing: states in local variables of forward"
        return refuse("SNN301", said, help=help)

    def _outputs(self, specs: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
        names = []
        for spec in specs:
            ((kind, entry),) = spec.items()
            if kind != "user_output" or "as_tensor" not in entry["arg"]:
                raise self._keeps(plain(kind))
            names.append(entry["arg"]["as_tensor"]["name"])
        return tuple(names)

    # -- the graph -----------------------------------------------------------------------------

    def _operation(self, node: Mapping[str, Any]) -> Operation:
        target, about = node["target"], node.get("metadata", {})
        name = plain(node.get("name") or target)
        domain, kind = "", target
        for prefix, own in (("torch.ops.aten.", DOMAIN), ("_operator.", DOMAIN)):
            if target.startswith(prefix):
                domain, kind = own, target.removeprefix(prefix)
        reads: list[str] = []
        args, named = [], {}
        for given in node["inputs"]:
            value = self._value(given["arg"], reads, name)
            if given["kind"] == 1:
                args.append(value)
            else:
                named[given["name"]] = value
        path = str(about.get("nn_module_stack", "")).rpartition(";")[2].split(",")
        scope = path[1] if len(path) > 1 else ""
        frames = frames_of(str(about.get("stack_trace", "")))
        place = Location(scope, *frames[-1]) if frames else Location(name)
        return Operation(
            kind, domain or plain(target), name, tuple(reads), tuple(self._yields(node)),
            {"args": args, "named": named}, scope, place,
        )  # fmt: skip

    def _value(self, arg: Mapping[str, Any], reads: list[str], name: str) -> Any:
        """An argument, values that it reads as `Argument`."""

        def read(value: str) -> Argument:
            reads.append(value)
            return Argument(len(reads) - 1)

        ((kind, value),) = arg.items()
        match kind:
            case "as_tensor":
                return read(value["name"])
            case "as_tensors":
                return [read(each["name"]) for each in value]
            case "as_optional_tensor":
                return None if "as_none" in value else read(value["as_tensor"]["name"])
            case "as_sym_int":
                return read(value["as_name"]) if "as_name" in value else value["as_int"]
            case "as_sym_ints":
                return [read(v["as_name"]) if "as_name" in v else v["as_int"] for v in value]
            case "as_scalar_type":
                return Dtype(value)
            case "as_none":
                return None
            case "as_int" | "as_float" | "as_bool" | "as_string":
                return value
            case "as_ints" | "as_floats" | "as_bools":
                return list(value)
            case "as_device" | "as_layout" | "as_memory_format":
                return None
        said = f"`{name}` takes `{plain(kind)}`, which is not supported"
        raise refuse("SNN301", said, Location(name), help=_FIX)

    def _yields(self, node: Mapping[str, Any]) -> Iterator[str]:
        for output in node["outputs"]:
            ((kind, value),) = output.items()
            if kind == "as_tensor":
                yield value["name"]
            elif kind == "as_tensors":
                yield from (each["name"] for each in value)
            elif kind == "as_sym_int":
                yield value["as_name"]
            else:
                yield ""

    def _check_order(
        self, operations: Sequence[Operation], known: set[str], outputs: Sequence[str]
    ) -> None:
        """Raise SnnccError where a value is read before it is there."""
        for operation in operations:
            if missing := [name for name in operation.inputs if name not in known]:
                said = f"`{operation.name}` reads `{plain(missing[0])}`, which comes later or never"
                raise self._damaged(said)
            known.update(operation.outputs)
        if missing := [name for name in outputs if name not in known]:
            raise self._damaged(f"nothing yields its output `{plain(missing[0])}`")

    def _shape(self, meta: Mapping[str, Any]) -> tuple[Size, ...]:
        return tuple(
            size["as_int"] if "as_int" in size else re.sub(r"\W", "", str(size))[:20] or "?"
            for size in meta["sizes"]
        )


def _only_asserts(node: Mapping[str, Any]) -> bool:
    """Whether a node yields nothing and only says what holds anyhow."""
    known = ("torch.ops.aten._assert_", "torch.ops.aten.sym_constrain_range")
    return str(node["target"]).startswith(known)


def _strides(shape: Sequence[int]) -> list[int]:
    found: list[int] = []
    step = 1
    for size in reversed(shape):
        found.insert(0, step)
        step *= max(size, 1)
    return found
