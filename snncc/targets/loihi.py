"""Loihi-class chips, as Intel's Lava runs them."""

from snncc.targets.chip import Constant
from snncc.targets.target import Target

_DAVIES = "Davies et al., IEEE Micro 38(1), 2018"

LOIHI = Target(
    "loihi",
    "Loihi-class chip, emitted as Lava processes",
    passes=("realise-projections", "balance-delays"),
    emits="lava",
    backends=("reference", "lava", "cycle"),
    constants=(
        Constant("cores", 128, "per chip", _DAVIES),
        Constant("neurons", 1024, "per core", _DAVIES),
        Constant("largest_delay", 62, "steps", _DAVIES),
    ),
)
