"""HDF5 files, read without executing anything, without other files and in bounded time and memory.

HDF5's own library may run for ever on a damaged file, or end the process. So a file is read by a
process of its own, which has a limit of time and of memory (`read_apart`); a format's program there
takes what it needs with a `Reading` and writes it out as an .npz (`write`), or the finding that
says why it cannot.
"""

from __future__ import annotations

import importlib.util
import io
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from snncc.diagnostics import Location, SnnccError, refuse

if TYPE_CHECKING:
    import h5py

SECONDS = 60.0
"""Maximum time for reading a small file, the start of its process included."""

SECONDS_PER_MEGABYTE = 1.0
"""How much longer a larger file may take."""

MEMORY = 16 << 30
"""Maximum memory of the process, in bytes."""

LARGEST = 1 << 28
"""Maximum number of values of a tensor."""

PLAIN = (None, "gzip", "lzf")
"""How values may be packed: in ways that HDF5 unpacks itself."""

Arrays = dict[str, np.ndarray]


class Reading:
    """Values of one file, each looked at before it is read.

    ``source``: the file in messages, ``kind``: what it should be ("NIR file"), ``fix``: how to
    write a sound one. All methods raise SnnccError: SNN305 for what is damaged, SNN304 for values
    in other places or packed in ways that need code, SNN307 for what is not finite.
    """

    def __init__(self, source: str, kind: str, fix: str) -> None:
        self.source, self._kind, self._fix = source, kind, fix

    def group(self, group: h5py.Group, name: str) -> h5py.Group:
        """The group called ``name``, which must be there."""
        import h5py

        if name not in list(group):  # `in group` would follow a link
            said = f"{self.source} is no {self._kind}: it has no `{name}`"
            raise refuse("SNN305", said, help=self._fix)
        self._check_link(group, name)
        inner = group[name]
        if not isinstance(inner, h5py.Group):
            said = f"{self.source} is no {self._kind}: `{name}` is no group"
            raise refuse("SNN305", said, help=self._fix)
        return inner

    def is_dataset(self, group: h5py.Group, name: str) -> bool:
        import h5py

        self._check_link(group, name)  # the class of a link would be that of its target
        return group.get(name, getclass=True) is h5py.Dataset

    def dataset(self, group: h5py.Group, name: str) -> np.ndarray:
        """The values of a dataset, after a look at its size and at how it is stored."""
        dataset = self.stored(group, name)
        if dataset is None:
            raise self.damaged(f"`{name}` of `{group.name}` is no tensor")
        if dataset.size is None or dataset.size > LARGEST:
            raise self.damaged(f"`{name}` of `{group.name}` has more than {LARGEST:,} values")
        return np.asarray(dataset[()])

    def stored(self, group: h5py.Group, name: str) -> h5py.Dataset | None:
        """A dataset whose values lie in the file itself and need no code; None for a group."""
        import h5py

        self._check_link(group, name)
        dataset = group[name]
        if not isinstance(dataset, h5py.Dataset):
            return None
        if dataset.is_virtual or dataset.external:
            raise self._elsewhere(f"`{name}` of `{group.name}`")
        if dataset.compression not in PLAIN or dataset.scaleoffset is not None:
            said = f"`{name}` of `{group.name}` in {self.source} is packed in a way not read here"
            raise refuse("SNN304", said, help="pack it with gzip or not at all")
        return dataset

    def text(self, group: h5py.Group, name: str) -> str:
        """The one text that a dataset holds."""
        value = self.dataset(group, name)
        said = value.item() if value.size == 1 else value
        if not isinstance(said, bytes | str):
            raise self.damaged(f"`{name}` of `{group.name}` is no text")
        return said.decode() if isinstance(said, bytes) else said

    def numbers(self, group: h5py.Group, name: str, part: str) -> np.ndarray:
        """The finite numbers of a dataset; ``part`` names it in messages."""
        value = self.dataset(group, name)
        if value.dtype.kind not in "biuf":
            raise self.damaged(f"`{name}` of `{part}` holds no numbers")
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            said = f"`{name}` of `{part}` in {self.source} holds NaN or infinity"
            raise refuse("SNN307", said, Location(module=part))
        return value

    def damaged(self, said: str) -> SnnccError:
        return refuse("SNN305", f"{self.source} is damaged: {said}", help=self._fix)

    def unreadable(self, error: Exception) -> SnnccError:
        """What HDF5 raises on damaged files is of many types."""
        said = " ".join(str(error).split())[:160] or type(error).__name__
        return refuse("SNN305", f"{self.source} is no {self._kind}: {said}", help=self._fix)

    def _check_link(self, group: h5py.Group, name: str) -> None:
        """Raise SNN304 for a name that leads out of its place, SNN305 for none at all."""
        import h5py

        link = group.get(name, getlink=True)
        if link is None:
            raise self.damaged(f"`{group.name}` has no `{name}`")
        if not isinstance(link, h5py.HardLink):
            raise self._elsewhere(f"`{name}` of `{group.name}`")

    def _elsewhere(self, what: str) -> SnnccError:
        message = f"{what} in {self.source} lies elsewhere, in another file or under another name"
        return refuse("SNN304", message, help="write all values into the file itself")


# -- in the process that reads -----------------------------------------------------------------


def write(path: str, reading: Reading, read: Callable[[h5py.File], Arrays]) -> None:
    """The arrays that ``read`` makes of a file, or a finding, as an .npz on standard output."""
    import h5py

    try:
        with open(path, "rb") as stream, h5py.File(stream, "r") as file:
            arrays = read(file)
    except SnnccError as error:
        arrays = _finding(error)
    except Exception as error:
        arrays = _finding(reading.unreadable(error))
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    sys.stdout.buffer.write(buffer.getvalue())


def _finding(error: SnnccError) -> Arrays:
    (finding, *_) = error.findings
    said: Mapping[str, str] = {
        "code": finding.code,
        "message": finding.message,
        "module": finding.location.module,
        "help": finding.help,
    }
    return {"finding": np.array(json.dumps(said))}


# -- outside of it -----------------------------------------------------------------------------


def read_apart(program: str, path: Path, source: str, suffix: str, extra: str, fix: str) -> Arrays:
    """What the module ``program``, run with the path and ``source``, makes of a file.

    ``suffix`` is the ending of such files and ``extra`` the extra of snncc that brings h5py. Raises
    SnnccError: SNN317 where h5py is missing, SNN305 for a file that is not there or on which HDF5
    fails, and the finding of the program.
    """
    if importlib.util.find_spec("h5py") is None:
        message = f"the package h5py, which reads {source}, is not installed"
        raise refuse("SNN317", message, help=f'pip install "snncc[{extra}]"')
    if not path.is_file():
        raise refuse("SNN305", f"{source} does not exist", help=f"give a {suffix} file")
    allowed = SECONDS + SECONDS_PER_MEGABYTE * path.stat().st_size / 1e6
    data = _output([sys.executable, "-m", program, str(path), source], source, fix, allowed)
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        if "finding" in arrays:
            said = json.loads(arrays["finding"].item())
            where = Location(said["module"])
            raise refuse(said["code"], said["message"], where, help=said["help"])
        return {name: arrays[name] for name in arrays.files}


def _output(command: list[str], source: str, fix: str, seconds: float) -> bytes:
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            timeout=seconds,
            preexec_fn=partial(limited, MEMORY),
            check=True,
        )
    except subprocess.TimeoutExpired:
        why = f"reading it takes longer than {seconds:.3g} s"
    except subprocess.CalledProcessError:
        why = "HDF5 ends where it is read"
    else:
        return done.stdout
    raise refuse("SNN305", f"{source} is damaged: {why}", help=fix)


def limited(memory: int) -> None:
    """Give this process so many bytes of memory at most, where the system can."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
