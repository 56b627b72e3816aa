"""ONNX files of networks: a program's Network, or the Graph that it was compiled from."""

from snncc.backends.onnx.export import Written, export

__all__ = ["Written", "export"]
