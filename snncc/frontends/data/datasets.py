"""``package.module:factory``: a torch data set or loader, or arrays, that the user's code makes.

A data set is read twice and never held: once to check it, which also counts its samples, and once
to run. A run can only be repeated where both readings give the same values, so the checksum of each
sample is kept.
"""

from __future__ import annotations

import itertools
import sys
import zlib
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from snncc.diagnostics import SnnccError, refuse
from snncc.frontends.data.recordings import Array
from snncc.frontends.data.values import per_block

_HELP = (
    "name a function that takes no arguments and returns a torch data set, a loader, or a tuple "
    "(inputs, labels)"
)

Items = Callable[[int], Iterator[tuple[Any, Any]]]
"""The samples with their labels, or None, from the one of that number on."""


@dataclass(frozen=True, eq=False)
class Held:
    """An array that the user's code made, in memory or mapped into it."""

    values: Array

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.values.dtype

    def take(self, axis: int, start: int, stop: int) -> Array:
        return np.array(self.values[(slice(None),) * axis + (slice(start, stop),)])


@dataclass(eq=False)
class DataSet:
    """The samples of a data set, stacked on any axis as they are read.

    ``sample`` is the shape of one. `blocks` is the first reading; after it `count` samples are
    known, and `take` gives them again.
    """

    name: str
    items: Items
    sample: tuple[int, ...]
    dtype: np.dtype[Any]
    axis: int = 0
    _labels: list[int | None] = field(default_factory=list)
    _sums: array[int] = field(default_factory=lambda: array("I"))
    _coming: Iterator[tuple[Any, Any]] = field(default_factory=lambda: iter(()))
    _position: int = -1

    @property
    def count(self) -> int:
        return len(self._sums)

    @property
    def shape(self) -> tuple[int, ...]:
        return (*self.sample[: self.axis], self.count, *self.sample[self.axis :])

    @property
    def labels(self) -> Array | None:
        """(count,), or None. Raises SnnccError (SNN312) where only some samples have one."""
        if None not in self._labels:
            return np.array(self._labels)
        if set(self._labels) == {None}:
            return None
        said = f"sample {self._labels.index(None)} of {self.name} has no label, and others have"
        raise refuse("SNN312", said, help="give all samples a label, or none")

    def blocks(self, axis: int, samples: int | None) -> Iterator[tuple[int, Array]]:
        """Read at most so many samples, all by default, and remember them by their checksums."""
        self.axis = axis
        step = per_block((*self.sample[:axis], 1, *self.sample[axis:]), axis, self.dtype)
        coming = itertools.islice(self.items(0), samples)
        while block := [self._read(*item) for item in itertools.islice(coming, step)]:
            yield self.count - len(block), np.stack(block, axis)

    def _read(self, values: Any, label: Any) -> Array:
        found = self._numbers(values, self.count)
        self._labels.append(_label(label, f"sample {self.count} of {self.name}"))
        self._sums.append(_checksum(found))
        return found

    def take(self, axis: int, start: int, stop: int) -> Array:
        """Raises SnnccError: SNN340 where a sample is not what it was when it was checked."""
        if start != self._position:
            self._coming = self.items(start)
        self._position = -1
        shape = (*self.sample[:axis], stop - start, *self.sample[axis:])
        taken = np.empty(shape, self.dtype)
        view = np.moveaxis(taken, axis, 0)
        for place in range(stop - start):
            values, _ = next(self._coming, (None, None))
            if values is None:
                raise self._changed(start + place, "is not there any more")
            found = self._numbers(values, start + place)
            if _checksum(found) != self._sums[start + place]:
                raise self._changed(start + place, "has other values than when it was checked")
            view[place] = found
        self._position = stop
        return taken

    def _numbers(self, values: Any, number: int) -> Array:
        found = _array(values, f"sample {number} of {self.name}")
        if (found.shape, found.dtype) != (self.sample, self.dtype):
            said = f"sample {number} of {self.name} is {found.dtype} of shape {found.shape}"
            first = f"sample 0 {self.dtype} of shape {self.sample}"
            raise refuse("SNN306", f"{said}, and {first}", help="give all samples one shape")
        return found

    def _changed(self, number: int, what: str) -> SnnccError:
        return refuse("SNN340", f"sample {number} of {self.name} {what}")


def open_dataset(spec: str) -> DataSet | dict[str, Held]:
    """What the user's factory gives: a data set, or arrays that are in memory already.

    Raises SnnccError: SNN313 and SNN314 for a factory that is not there or does not work, SNN312
    for what is no data, SNN340 for a loader that shuffles.
    """
    from snncc.frontends.checkpoints.factory import call

    made = call(spec, _HELP)
    if isinstance(made, np.ndarray) or hasattr(made, "detach"):
        made = (made, None)
    if isinstance(made, tuple):
        if len(made) != 2:
            raise _no_data(spec, f"a tuple of {len(made)}")
        inputs, labels = made
        held = {"inputs": Held(_array(inputs, f"the inputs of {spec}"))}
        if labels is not None:
            held["labels"] = Held(_array(labels, f"the labels of {spec}"))
        return held
    items = _items(made, spec)
    first, _ = next(items(0), (None, None))
    if first is None:
        raise refuse("SNN312", f"{spec} holds no samples")
    values = _array(first, f"sample 0 of {spec}")
    return DataSet(spec, items, values.shape, values.dtype)


def _label(label: Any, what: str) -> int | None:
    """A label as a whole number, None where there is none. Raises SnnccError (SNN312)."""
    if label is None:
        return None
    value = _plain(label)
    if value.ndim or value.dtype.kind not in "iu":
        said = f"the label of {what} is {str(label)[:40]!r}, not a whole number"
        raise refuse("SNN312", said, help="give (x, label) or x")
    return int(value)


def _items(made: Any, spec: str) -> Items:
    loader = sys.modules.get("torch.utils.data")
    if loader is not None and isinstance(made, loader.DataLoader):
        return _of_loader(made, spec)
    if hasattr(made, "__getitem__") and hasattr(made, "__len__") and not isinstance(made, dict):

        def from_number(start: int) -> Iterator[Any]:
            return (made[number] for number in range(start, len(made)))

        return lambda start: _told(from_number(start), spec, start)
    if isinstance(made, Iterable) and not isinstance(made, dict | str | bytes):
        if iter(made) is made:
            said = f"{spec} returned a {type(made).__name__}, which can be read only once"
            raise refuse("SNN340", said, help="return a data set that can be read again")
        return lambda start: itertools.islice(_told(iter(made), spec, 0), start, None)
    raise _no_data(spec, f"a {type(made).__name__}")


def _of_loader(loader: Any, spec: str) -> Items:
    """The samples of the batches of a DataLoader, in its order."""
    from torch.utils.data import RandomSampler, default_collate

    sampler = getattr(loader.batch_sampler, "sampler", None)
    if RandomSampler in {type(each) for each in (loader.sampler, sampler)}:
        help = "make the loader with shuffle=False"
        raise refuse("SNN340", f"{spec} returned a loader that shuffles", help=help)
    if loader.batch_size is None and loader.batch_sampler is None:
        return lambda start: itertools.islice(_told(iter(loader), spec, 0), start, None)
    if loader.collate_fn is not default_collate:
        said = f"{spec} returned a loader with its own collate_fn, whose axes are not known"
        raise refuse("SNN312", said, help="return its data set instead, or use the default collate")

    def singly() -> Iterator[tuple[Any, Any]]:
        for values, labels in _told(iter(loader), spec, 0, "batch"):
            whole = _array(values, f"a batch of {spec}")
            if labels is not None and len(labels) != len(whole):
                said = f"a batch of {spec} has {len(whole)} samples and {len(labels)} labels"
                raise refuse("SNN312", said, help="give one label for each sample")
            for place in range(len(whole)):
                yield whole[place], None if labels is None else labels[place]

    return lambda start: itertools.islice(singly(), start, None)


def _told(
    made: Iterator[Any], spec: str, first: int, what: str = "sample"
) -> Iterator[tuple[Any, Any]]:
    """Values and label of each; what the user's code raises is SNN314."""
    for number in itertools.count(first):
        try:
            item = next(made)
        except StopIteration:
            return
        except Exception as error:
            words = " ".join(str(error).split())[:160]
            said = f"reading {what} {number} of {spec} failed: {type(error).__name__}: {words}"
            raise refuse("SNN314", said, help="see that its data set gives each item") from error
        if not isinstance(item, tuple | list):
            yield item, None
        elif len(item) in (1, 2):
            yield item[0], item[1] if len(item) == 2 else None
        else:
            said = f"{what} {number} of {spec} is a {type(item).__name__} of {len(item)}"
            raise refuse("SNN312", f"{said}, not x or (x, label)", help="give (x, label) or x")


def _array(values: Any, what: str) -> Array:
    """Values as an array of numbers in this machine's byte order. Raises SnnccError (SNN312)."""
    found = _plain(values)
    if found.dtype.names is not None:
        help = "give the data set a transform, such as tonic.transforms.ToFrame(sensor_size, ...)"
        raise refuse("SNN312", f"{what} is a list of events, not frames", help=help)
    if found.dtype.kind not in "biuf" or found.dtype.itemsize > 8:
        raise refuse("SNN312", f"{what} is {_shown(values)}, not numbers of up to 64 bits")
    return found.astype(found.dtype.newbyteorder("="), copy=False)


def _checksum(values: Array) -> int:
    return zlib.crc32(values.tobytes())


def _plain(values: Any) -> Array:
    """As NumPy has it; tensors without their gradient."""
    if hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    try:
        return np.asarray(values)
    except ValueError:  # lists of different lengths
        return np.asarray(None)


def _shown(values: Any) -> str:
    dtype = getattr(values, "dtype", None)
    return f"a {type(values).__name__}" if dtype is None else str(dtype)


def _no_data(spec: str, what: str) -> SnnccError:
    return refuse("SNN312", f"{spec} returned {what}, which is no data set", help=_HELP)
