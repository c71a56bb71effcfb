"""The parts that make up the KV kernels of a torch device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..capabilities import Capabilities, Capability, Level
from .coding import TorchCoding
from .conversions import TorchConversions
from .quantize import TorchQuantize
from .queue import queue_of
from .rope import TorchRope
from .upload import TorchUpload
from .writing import TorchWriting

if TYPE_CHECKING:
    from ..backend import Backend
    from .queue import Queue

__all__ = ["TorchKVKernels"]


class TorchKVKernels(
    TorchConversions, TorchCoding, TorchQuantize, TorchUpload, TorchRope, TorchWriting
):
    """The contract's KV kernels as torch operators; :mod:`accel.torch_kernels` says how."""

    capabilities = Capabilities(
        {
            Capability.KV_TRANSFER: Level.COMPOSED,
            Capability.KV_TRANSFER_BLOCKS: Level.COMPOSED,
            Capability.KV_WRITE: Level.COMPOSED,
            Capability.KV_WRITE_QUANTIZED: Level.COMPOSED,
            Capability.KV_COPY_BLOCKS: Level.COMPOSED,
            Capability.KV_SWAP_BLOCKS: Level.COMPOSED,
            Capability.KV_GATHER: Level.COMPOSED,
            Capability.KV_CONVERT: Level.COMPOSED,
            Capability.KV_QUANTIZE: Level.COMPOSED,
            Capability.KV_ROPE: Level.COMPOSED,
            Capability.KV_UPLOAD: Level.COMPOSED,
            Capability.KV_ENTROPY: Level.STAGED,
        }
    )

    def __init__(self, backend: Backend, queue: Queue | None = None) -> None:
        super().__init__(backend, queue_of(backend) if queue is None else queue)
