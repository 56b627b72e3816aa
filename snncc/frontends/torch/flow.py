"""Whether what a module keeps from an earlier call reaches what it yields.

Statistics, counters and logs do no harm as long as nobody reads them. So the module runs once more
with what it kept marked: a number is replaced by a `Mark`, a tensor is known by its identity, and
everything that is computed from either is marked in turn. An output that is marked, or a question
that is taken from a marked number, is a state that lives on from call to call. A question that
is asked of one (every hundredth call is logged, say) is answered both ways, and must not matter.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from snncc.frontends.torch.functions import READS_VALUES, plain_name
from snncc.frontends.torch.states import Held
from snncc.frontends.torch.tracked import tensors_in


class Used(Exception):
    """What a module kept is used: ``name`` is one of it."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class Mark:
    """A number that was kept: it can be added up, compared and shown, and nothing else."""

    def __init__(self, value: Any, name: str, flow: Flow) -> None:
        self.value, self.name, self.flow = value, name, flow

    def __str__(self) -> str:
        return str(self.value)

    def __format__(self, form: str) -> str:
        return format(self.value, form)

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        raise Used(next(v.name for v in (*args, *(kwargs or {}).values()) if isinstance(v, Mark)))

    def _taken(self, *given: Any) -> Any:
        raise Used(self.name)

    __int__ = __float__ = __index__ = __len__ = __iter__ = __getitem__ = _taken
    __hash__ = _taken

    def __bool__(self) -> bool:
        return self.flow.answer(self.name, bool(self.value))


def _forward(make: Callable[[Any, Any], Any]) -> Callable[[Mark, Any], Any]:
    def method(self: Mark, other: Any) -> Any:
        if isinstance(other, torch.Tensor):
            return NotImplemented
        return Mark(make(self.value, _bare(other)), self.name, self.flow)

    return method


def _question(ask: Callable[[Any, Any], Any]) -> Callable[[Mark, Any], Any]:
    def method(self: Mark, other: Any) -> Any:
        if isinstance(other, torch.Tensor):
            raise Used(self.name)
        return self.flow.answer(self.name, bool(ask(self.value, _bare(other))))

    return method


def _reflected(make: Callable[[Any, Any], Any]) -> Callable[[Mark, Any], Any]:
    def method(self: Mark, other: Any) -> Any:
        if isinstance(other, torch.Tensor):
            raise Used(self.name)
        return Mark(make(_bare(other), self.value), self.name, self.flow)

    return method


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow"):
    setattr(Mark, f"__{_name}__", _forward(getattr(operator, _name)))
    setattr(Mark, f"__r{_name}__", _reflected(getattr(operator, _name)))
for _name in ("lt", "le", "gt", "ge", "eq", "ne"):
    setattr(Mark, f"__{_name}__", _question(getattr(operator, _name)))


def _bare(value: Any) -> Any:
    return value.value if isinstance(value, Mark) else value


class Flow(TorchFunctionMode):
    """While it is on, what is computed from marked tensors and numbers is marked.

    ``otherwise``: questions are answered the other way. ``asked`` is what the last one was about.
    """

    def __init__(self, kept: Held, names: Iterable[str], otherwise: bool = False) -> None:
        super().__init__()
        self.asked: str | None = None
        self._otherwise = otherwise
        self._names: dict[int, str] = {}
        self._alive: list[torch.Tensor] = []
        self._kept = kept
        for name in names:
            place = kept.get(name)
            if place is None:
                continue
            if isinstance(place.value, torch.Tensor):
                self.mark(place.value, name)
            elif isinstance(place.value, bytes):  # of an array, say: nobody sees it read
                raise Used(name)
            elif isinstance(place.value, int | float) and not isinstance(place.value, bool):
                place.put(Mark(place.value, name, self))

    def answer(self, name: str, truth: bool) -> bool:
        """What a question about a marked number is answered."""
        self.asked = name
        return truth != self._otherwise

    def reached(self, tensors: Iterable[torch.Tensor]) -> str | None:
        """The name of what reached one of ``tensors``, if anything did."""
        return next((self._names[id(t)] for t in tensors if id(t) in self._names), None)

    def mark(self, tensor: torch.Tensor, name: str) -> None:
        """What is computed from ``tensor`` is made of ``name``."""
        self._names.setdefault(id(tensor), name)
        self._alive.append(tensor)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        given = [*args, *kwargs.values()]
        marks = [value.name for value in given if isinstance(value, Mark)]
        inputs = list(tensors_in(given))
        name = marks[0] if marks else self.reached(inputs)
        if name is not None and plain_name(func) in READS_VALUES:
            raise Used(name)
        args = tuple(map(_bare, args))
        result = func(*args, **{key: _bare(value) for key, value in kwargs.items()})
        written = args[0] if args and _writes(plain_name(func)) else None
        if isinstance(written, torch.Tensor) and _overwrites(plain_name(func), args):
            name = self.reached(tensors_in(given[1:]))
            self._names.pop(id(written), None)
        if name is not None:
            for tensor in (*tensors_in(result), *tensors_in(written)):
                self.mark(tensor, name)
                if tensor is written and tensor._base is not None:
                    self.mark(tensor._base, name)
        return result


def _overwrites(name: str, args: Sequence[Any]) -> bool:
    """Whether nothing of what a tensor held is left."""
    if name == "__setitem__":
        return args[1] is Ellipsis or (isinstance(args[1], slice) and args[1] == slice(None))
    return name in ("zero_", "fill_", "copy_")


def _writes(name: str) -> bool:
    return (name.endswith("_") and not name.endswith("__")) or name in ("__setitem__", "data=")
