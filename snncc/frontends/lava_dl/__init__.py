"""Networks that Lava-DL writes (.net), read as torch modules in whole numbers.

`file` opens the HDF5, in the process of `hdf5`; `neuron` is the neuron in Loihi's registers,
`network` the module, `opening` what a command opens. A file that becomes a module is recorded,
verified and compiled as every other module is.
"""
