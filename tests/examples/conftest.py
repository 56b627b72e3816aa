"""The examples as tests open them, and the comparison with Lava, are modules beside tests."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "backends" / "loihi")]
