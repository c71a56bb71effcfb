"""Entropy coding by the device: kernels/coding_*.cu, launched by native/kv/codec.

``entropy_model`` and ``decode`` are queued, and may be captured; what they find wrong is raised by
the stream's next synchronisation. ``encode`` waits.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch

from accel.capabilities import Capability, Level
from accel.native_kernels.coding import Coding

from . import _native, kernels

if TYPE_CHECKING:
    from accel.providers import Stream

__all__ = ["CODING", "CudaKVCoding"]

CODING = {Capability.KV_ENTROPY: Level.NATIVE}

_NAMES = ("model", "encode", "assemble", "verify", "decode")


class CudaKVCoding(Coding):
    """A warp a stream; models, checks and the container are made on the device too."""

    coding_devices = ("cuda",)
    _device: torch.device  #: with its index; set by the class of all KV kernels

    @cached_property
    def native_coding(self) -> Any:
        """The kernels of the device, loaded on first use."""
        index = self._device.index or 0
        shared = _native.coding.shared_bytes()
        handles = {
            name: kernels.function(
                index,
                f"coding_{name}.cu",
                f"coding_{name}",
                dynamic_shared=shared.get(f"coding_{name}", 0),
            )
            for name in _NAMES
        }
        return _native.coding.Coder(index, handles)

    def _allocating(self, stream: Stream | None) -> AbstractContextManager[object]:
        # The allocator hands memory out in the order of the current stream.
        return stream if isinstance(stream, _native.Stream) else nullcontext()

    def _laid_out(self, model: torch.Tensor, stream: Stream | None) -> torch.Tensor:
        if model.is_contiguous():
            return model
        with self._allocating(stream):
            return model.contiguous()

    def _encode(
        self,
        symbols: torch.Tensor,
        model: torch.Tensor,
        target: torch.Tensor,
        stream: Stream | None,
    ) -> int:
        model = self._laid_out(model, stream)
        layers, tokens, channels = symbols.shape
        size = _native.coding.scratch_bytes(layers, tokens, channels)
        with self._allocating(stream):
            scratch = torch.empty(size, dtype=torch.uint8, device=symbols.device)
        used: int = self.native_coding.encode(symbols, model, target, scratch, stream)
        return used

    def _fitted(self, data: torch.Tensor, stream: Stream | None) -> torch.Tensor:
        with self._allocating(stream):
            fitted = data.clone()
            torch.cuda.current_stream(data.device).synchronize()  # as the caller may read it
        return fitted
