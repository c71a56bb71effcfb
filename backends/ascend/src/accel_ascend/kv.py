"""The KV kernels of the NPU: which of three tiers serves a call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel.torch_kernels import TorchKVKernels

if TYPE_CHECKING:
    from accel.backend import Backend

__all__ = ["AscendKVKernels"]


class AscendKVKernels(TorchKVKernels):
    """torch_npu's operators."""

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
