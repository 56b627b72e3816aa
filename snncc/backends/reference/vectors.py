"""What numba does not say about vectors, in LLVM's own words, which every processor has.

Kernels lie in rows, a row being the weights of one input to a block of targets, whose sums stay in
registers until all rows are added.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from snncc.backends.reference.workspace import aligned

LANES = 16
"""Numbers in a vector; LLVM takes as many registers as that needs."""

BLOCKS = (4 * LANES, 2 * LANES, LANES)
"""Targets of a block: the first of these that divides their number, or the last."""

_INDEX = ir.IntType(64)


def in_rows(weight: NDArray[np.floating]) -> NDArray[np.float32]:
    """A kernel (D, C, kh, kw) in rows: (blocks, kh, kw · C, targets of a block).

    Where the blocks have more targets than D, the last is filled with 0.
    """
    targets, channels, height, width = weight.shape
    block = next(n for n in BLOCKS if targets % n == 0 or n == BLOCKS[-1])
    blocks = -(-targets // block)
    whole = np.zeros((height, width * channels, blocks * block), np.float32)
    whole[..., :targets] = weight.transpose(2, 3, 1, 0).reshape(height, -1, targets)
    rows = aligned((blocks, height, width * channels, block), np.float32)
    rows[...] = whole.reshape(height, -1, blocks, block).transpose(2, 0, 1, 3)
    return rows


def _address(context: Any, builder: Any, kind: Any, array: Any, offset: Any) -> Any:
    return builder.gep(context.make_array(kind)(context, builder, array).data, [offset])


@intrinsic
def bits(typing: Any, values: Any, at: Any) -> Any:
    """Which of ``values[at : at + 64]`` (float32 or uint8) are not 0, as the bits of a uint64."""
    of_bytes = values.dtype == types.uint8

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = ir.VectorType(ir.IntType(8) if of_bytes else ir.FloatType(), 64)
        start = _address(context, builder, signature.args[0], *args)
        here = builder.load(builder.bitcast(start, vector.as_pointer()), align=1 if of_bytes else 4)
        compare = builder.icmp_unsigned if of_bytes else builder.fcmp_unordered
        return builder.bitcast(compare("!=", here, ir.Constant(vector, None)), _INDEX)

    return types.uint64(values, types.intp), code


@intrinsic
def lowest(typing: Any, word: Any) -> Any:
    """The place of the lowest bit of a uint64 that is not 0."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.uint64), code


@intrinsic
def fetch(typing: Any, values: Any, at: Any) -> Any:
    """Ask for the line of the cache that holds ``values[at]``, which will be read soon."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        address = _address(context, builder, signature.args[0], *args)
        line, number = builder.bitcast(address, ir.IntType(8).as_pointer()), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [line.type, number, number, number])
        prefetch = builder.module.declare_intrinsic("llvm.prefetch", [line.type], kind)
        to_read, nearest, data = number(0), number(3), number(1)
        builder.call(prefetch, [line, to_read, nearest, data])
        return context.get_dummy_value()

    return types.void(values, types.intp), code


def summing(block: int, chosen: bool) -> Callable[..., None]:
    """The sums of a block of targets over some rows.

    Called with ``rows`` and where in it row 0 is; ``inputs`` and the first and last of them to
    take; ``total`` and where in it the sums are added. The arrays are flat and of float32, but
    where rows are ``chosen``, inputs are the numbers (int32) of the rows to add; else input k,
    counted from the first, is what row k is multiplied by.
    """

    @intrinsic
    def add(
        typing: Any, rows: Any, base: Any, inputs: Any, first: Any, last: Any, total: Any, at: Any
    ) -> Any:
        place = types.intp
        return types.void(rows, place, inputs, place, place, total, place), code

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        def address(array: int, offset: Any) -> Any:
            return _address(context, builder, signature.args[array], args[array], offset)

        vector = ir.VectorType(ir.FloatType(), LANES)
        nothing = ir.Constant(vector, ir.Undefined)

        def parts(start: Any) -> list[Any]:
            offsets = [_INDEX(part) for part in range(0, block, LANES)]
            return [builder.bitcast(builder.gep(start, [o]), vector.as_pointer()) for o in offsets]

        base, first, last, at = args[1], args[3], args[4], args[6]
        targets = parts(address(5, at))
        before = [builder.load(part, align=4) for part in targets]
        entry = builder.block
        head, body, done = (builder.append_basic_block() for _ in range(3))
        builder.branch(head)
        builder.position_at_end(head)
        k = builder.phi(_INDEX)
        k.add_incoming(first, entry)
        sums = [builder.phi(vector) for _ in before]
        for total, part in zip(sums, before, strict=True):
            total.add_incoming(part, entry)
        builder.cbranch(builder.icmp_signed("<", k, last), body, done)
        builder.position_at_end(body)
        given = builder.load(address(2, k))
        row = builder.sext(given, _INDEX) if chosen else builder.sub(k, first)
        start = address(0, builder.add(base, builder.mul(row, _INDEX(block))))
        weights = [builder.load(part, align=4) for part in parts(start)]
        if not chosen:
            one = builder.insert_element(nothing, given, ir.IntType(32)(0))
            zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), None)
            every = builder.shuffle_vector(one, nothing, zeros)
            weights = [builder.fmul(every, w, flags=("contract",)) for w in weights]
        for total, weight in zip(sums, weights, strict=True):
            total.add_incoming(builder.fadd(total, weight, flags=("contract",)), body)
        k.add_incoming(builder.add(k, _INDEX(1)), body)
        builder.branch(head)
        builder.position_at_end(done)
        for total, part in zip(sums, targets, strict=True):
            builder.store(total, part, align=4)
        return context.get_dummy_value()

    return add  # type: ignore[no-any-return]
