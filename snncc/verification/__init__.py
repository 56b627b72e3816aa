"""What is verified: the module against its Graph, then each pass against what it was given."""

from snncc.verification.comparison import Comparison, compare
from snncc.verification.module import Agreement, agreement
from snncc.verification.passes import Verification
from snncc.verification.probes import Probe, probes
from snncc.verification.record import record_of

__all__ = [
    "Agreement", "Comparison", "Probe", "Verification", "agreement", "compare", "probes",
    "record_of",
]  # fmt: skip
