"""Reading PyTorch 2 archives, the .pt2 of ``torch.export.save``, without torch's own loader.

An archive is a zip of JSON and raw numbers. Its graph becomes the same plain form that ONNX files
have (`snncc.frontends.onnx.reading`), with operators of ATen (`snncc.frontends.exported.aten`).
"""
