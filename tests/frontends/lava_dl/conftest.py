"""The stored spikes are a module beside the tests; damage and Lava's states are elsewhere."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
TESTS = HERE.parents[1]
sys.path[:0] = [str(HERE), str(TESTS / "generators"), str(TESTS / "backends" / "loihi")]
