"""``python -m snncc``."""

from snncc.cli import main

main()
