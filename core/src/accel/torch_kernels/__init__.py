"""Every KV kernel of the contract from torch operators alone, for any device that torch knows.

What a vendor's own kernels do not serve, or all of it where there are none::

    from accel.torch_kernels import TorchKVKernels

    @accel.hookimpl
    def accel_kv_kernels(backend):
        return TorchKVKernels(backend)

The backend needs streams; pinned memory, asynchronous copies and host callbacks are used where it
has them. Only common operators are used (index_select, index_copy_, comparisons, integer and
float32 arithmetic, where, reductions, sort of nothing), and none in double precision or fp8.
"""

from __future__ import annotations

from .kernels import TorchKVKernels

__all__ = ["TorchKVKernels"]
