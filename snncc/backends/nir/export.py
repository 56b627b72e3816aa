"""A network as a .nir file: what every reader must know in its values, the rest beside them."""

from __future__ import annotations

import importlib.util
import io
from dataclasses import dataclass
from pathlib import Path

from snncc.backends.nir.neurons import READERS
from snncc.backends.nir.writer import as_parts
from snncc.backends.onnx.networks import as_graph
from snncc.diagnostics import Finding, refuse
from snncc.ir.files import write_whole
from snncc.ir.graph import Graph
from snncc.ir.network import Network


@dataclass(frozen=True)
class Written:
    """What was written: its size in bytes, and what other readers of the file must know."""

    bytes: int
    notes: tuple[Finding, ...]


def export(
    form: Graph | Network, path: Path | str, *, reader: str = "any", dt: float | None = None
) -> Written:
    """Write ``form`` as a NIR file for ``reader``, one of `READERS`.

    ``dt``: how many seconds a step is; by default what the reader assumes, 1e-4 for "any".

    Raises SnnccError: SNN317 where the package nir is missing, SNN324 for an op or a neuron that
    NIR or the reader has no form for, SNN305 where the file cannot be written.
    """
    if importlib.util.find_spec("nir") is None:
        help = 'pip install "snncc[nir]"'
        raise refuse("SNN317", "the package nir, which writes the file, is missing", help=help)
    if isinstance(form, Network) and form.is_fixed:
        message = "NIR has no form for a network in whole numbers"
        raise refuse("SNN324", message, help="compile without --weight-bits")
    graph = as_graph(form) if isinstance(form, Network) else form
    parts = as_parts(graph, READERS[reader], dt or READERS[reader].dt)
    import nir

    buffer = io.BytesIO()
    nir.write(buffer, parts.as_nir())
    data = buffer.getvalue()
    try:
        write_whole(Path(path), data)
    except OSError as error:
        said = f"{path} cannot be written: {error.strerror or error}"
        raise refuse("SNN305", said, help="choose a file that can be written") from error
    return Written(len(data), parts.notes)
