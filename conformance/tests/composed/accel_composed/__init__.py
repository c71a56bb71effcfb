"""Backends of the CPU whose KV kernels are those of ``accel.torch_kernels``, to be checked."""
