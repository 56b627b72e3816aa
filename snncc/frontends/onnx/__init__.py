"""Reading ONNX files: a file becomes a module whose forward runs its nodes with torch's functions.

Nothing of a file is executed. What is known of it is read into plain values first
(`snncc.frontends.onnx.reading`), and a module runs these by a table of operators
(`snncc.frontends.onnx.operators`). From there on it is recorded, re-rolled, recognised and verified
as every other module is.
"""
