"""What the emitted network.py offers."""

from collections.abc import Mapping

import numpy as np

from .processes.recorder import Recorder
from .wiring import Sinks

STOCK: Mapping[str, int]
OWN: Mapping[str, int]
TAG: str
TIME_STEPS: int | None
IDLE: int
LATENCY: int
INPUTS: Mapping[str, tuple[tuple[int, ...], bool]]
RECORDED: Mapping[str, tuple[str, str, int]]

def build(
    a: Mapping[str, np.ndarray],
    given: Mapping[str, np.ndarray],
    period: int,
    steps: int,
    folder: str,
) -> Recorder | Sinks: ...
def read_out(
    a: Mapping[str, np.ndarray], sums: Mapping[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]: ...
