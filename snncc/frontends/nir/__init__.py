"""Files of the Neuromorphic Intermediate Representation (NIR), read as torch modules.

`file` opens the HDF5, in the process of `hdf5`; `timing` turns differential equations into steps;
`network` is the module, `opening` what a command opens. A file that becomes a module is recorded,
verified and compiled as every other module is.
"""
