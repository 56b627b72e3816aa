"""The small networks, and the job for SANA-FE, are modules beside the tests."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent / "on_sanafe")]
