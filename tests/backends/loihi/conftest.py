"""The networks of all sorts are modules beside the tests, and the generator is one elsewhere."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "generators")]
