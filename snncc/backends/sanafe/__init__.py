"""SANA-FE, a simulator of neuromorphic chips: a mapped Network as its YAML files."""

from snncc.backends.sanafe.export import export, group_names

__all__ = ["export", "group_names"]
