"""Weights that lie in a file beside the model's, as torch.onnx.export writes them by default."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from snncc.diagnostics import Location, refuse

_INSIDE = "save the weights inside the model's file (external_data=False in torch.onnx.export)"


def bring_inside(model: Any, folder: Path, source: str, largest: int) -> bool:
    """Read the weights of ``model``, an onnx.ModelProto, that lie beside it in ``folder``.

    Its tensors hold them afterwards. Only plain files of this folder are opened, no links, and
    ``largest`` bytes are read at most, those that several tensors share counted for each. Returns
    whether there were any.

    Raises SnnccError: SNN304 for a file elsewhere, a link, or something that is no file, SNN305
    for one that is not there or shorter than a tensor says.
    """
    total = 0
    opened: dict[str, BinaryIO] = {}
    try:
        for tensor in model.graph.initializer:
            if tensor.data_location != 1:
                continue
            said = {each.key: each.value for each in tensor.external_data}
            named = said.get("location", "")
            name = "".join(c if c.isprintable() else "?" for c in tensor.name)
            if named not in opened:
                opened[named] = _open(folder, named, name, source)
            begin, length = _extent(said, opened[named], name, source)
            total += length
            if total > largest:
                raise refuse("SNN305", f"{source} has weights of more than {largest:,} bytes")
            opened[named].seek(begin)
            data = opened[named].read(length)
            del tensor.external_data[:]
            tensor.ClearField("data_location")
            tensor.raw_data = data
    finally:
        for file in opened.values():
            file.close()
    return bool(opened)


def _open(folder: Path, named: str, tensor: str, source: str) -> BinaryIO:
    """A plain file of the folder, its links refused."""
    place = f"tensor `{tensor}` of {source}"
    if Path(named).name != named or named in ("", ".", "..") or not named.isprintable():
        said = f"{place} lies in another file, which is not in the folder of {source}"
        raise refuse("SNN304", said, Location(tensor), help=_INSIDE)
    try:
        handle = os.open(folder / named, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        code = "SNN304" if (folder / named).is_symlink() else "SNN305"
        said = f"{place} lies in {named}, which cannot be read: {error.strerror}"
        raise refuse(code, said, Location(tensor), help=f"put {named} beside it") from error
    about = os.fstat(handle)
    if not stat.S_ISREG(about.st_mode) or about.st_nlink > 1:
        os.close(handle)
        said = f"{place} lies in {named}, which is no file of its own but a link or a device"
        raise refuse("SNN304", said, Location(tensor), help=_INSIDE)
    return os.fdopen(handle, "rb")


def _extent(said: Mapping[str, str], file: BinaryIO, tensor: str, source: str) -> tuple[int, int]:
    """Where in the file a tensor begins, and how many bytes it has."""
    size = os.fstat(file.fileno()).st_size
    try:
        begin = int(said.get("offset", "0"))
        length = int(said.get("length", str(size - begin)))
    except ValueError:
        begin = length = -1
    if begin < 0 or length < 0 or begin + length > size:
        named = said["location"]
        said_of = f"tensor `{tensor}` of {source} is not where it should be in {named}"
        help = "write both files again, as torch.onnx.export does"
        raise refuse("SNN305", said_of, Location(tensor), help=help)
    return begin, length
