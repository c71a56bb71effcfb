"""KV kernels of any device of torch: operators."""

from __future__ import annotations

from accel.torch_kernels import TorchKVKernels

__all__ = ["GenericKVKernels"]


class GenericKVKernels(TorchKVKernels):
    """Everything composed from torch's operators; entropy coding on the host."""
