"""What every source of recordings must do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from snncc.diagnostics import Exit, SnnccError
from snncc.frontends.data import Recordings, open_recordings

SHAPE = (4, 1, 2, 3)  # T, N, two features; one sample in the example


@pytest.fixture
def agrees() -> Callable[..., None]:
    """Compare recordings with the whole array, for some ways of taking them."""

    def check(recordings: Recordings, inputs: Any, labels: Any = None) -> None:
        axis = recordings.axis
        assert recordings.shape == inputs.shape
        assert recordings.samples == inputs.shape[axis]
        assert recordings.dtype == inputs.dtype
        assert recordings.range == (inputs.min(), inputs.max())
        if labels is None:
            assert recordings.labels is None
        else:
            np.testing.assert_array_equal(recordings.labels, labels)
        for start, stop in ((0, 1), (0, 3), (3, 5), (1, 2), (0, recordings.samples), (4, 99)):
            taken = recordings.take(start, stop)
            assert taken.dtype == inputs.dtype
            wanted = inputs[(slice(None),) * axis + (slice(start, stop),)]
            np.testing.assert_array_equal(taken, wanted)

    return check


@pytest.fixture
def refused() -> Callable[..., str]:
    """See that a source is refused with one sentence and exit code 2; the sentence."""

    def check(code: str, match: str, source: Any, takes: Any = None, **options: Any) -> str:
        with pytest.raises(SnnccError, match=match) as caught:
            open_recordings(source, takes or {"TN": SHAPE}, **options)
        assert [finding.code for finding in caught.value.findings] == [code]
        assert caught.value.exit_code == Exit.BAD_INPUT
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return check
