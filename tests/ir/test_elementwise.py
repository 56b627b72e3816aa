"""The elementwise functions: each is there, takes what the table says, and is in the right sets."""

from __future__ import annotations

import itertools

import pytest
import torch

from snncc.backends.onnx import operators
from snncc.frontends.torch.calls import HANDLERS
from snncc.ir.elementwise import ACTIVATIONS, ARITY, BOOLEAN, COMPARISONS, STEPPED, function

POINTS = (-2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 3.0)

OF_CASTS = {"not", "nonzero"}
"""Made from `logical_not`, `bool` and indexing, not from a torch function of the same name."""

JUMP_ELSEWHERE = {"where", "pow", "remainder", "fmod"}
"""They jump too, and are not in STEPPED: rounding before them excuses no difference."""


def on(name: str, *arguments: torch.Tensor) -> torch.Tensor:
    return function(name)(*arguments)


def arguments(name: str) -> torch.Tensor:
    """(arguments, combinations of POINTS)."""
    return torch.tensor(list(itertools.product(POINTS, repeat=ARITY[name])), dtype=torch.float64).T


@pytest.mark.parametrize("name", ARITY)
def test_a_function_of_floats_is_float(name):
    found = on(name, *arguments(name))
    assert (found.dtype, found.shape) == (torch.float64, arguments(name).shape[1:])


@pytest.mark.parametrize("name", ARITY)
def test_functions_with_two_values_are_boolean(name):
    found = set(on(name, *arguments(name)).tolist())
    assert (found == {0.0, 1.0}) == (name in BOOLEAN)


@pytest.mark.parametrize("name", ARITY)
def test_functions_that_jump_are_in_a_set(name):
    x = arguments(name)
    jumps = False
    for place, step in itertools.product(range(len(x)), (1e-9, -1e-9)):
        beside = x.clone()
        beside[place] += step
        one, two = on(name, *x), on(name, *beside)
        jumps |= bool(((one - two).abs() > 1e-3)[one.isfinite() & two.isfinite()].any())
    assert jumps == (name in STEPPED | BOOLEAN | JUMP_ELSEWHERE)


def test_the_sets_have_names_of_functions():
    assert ARITY.keys() >= ACTIVATIONS | COMPARISONS | STEPPED | BOOLEAN


@pytest.mark.parametrize("name", ARITY)
def test_a_torch_function_becomes_it(name):
    assert (name in HANDLERS) != (name in OF_CASTS)


class Names:
    """Stands for the writer of nodes: every value has the same name."""

    type = 1

    def __call__(self, operator, inputs, **attributes):
        return "value"

    def real(self, value, name):
        return "number"


@pytest.mark.parametrize("name", ARITY)
def test_it_has_a_form_in_onnx(name):
    assert operators.elementwise(Names(), name, ["x"] * ARITY[name]) == "value"
