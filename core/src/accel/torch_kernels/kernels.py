"""The parts that make up the KV kernels of a torch device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..capabilities import Capabilities, Capability, Level
from .coding import TorchCoding
from .conversions import TorchConversions
from .indices import CHECK_VARIABLE, reads_back
from .quantize import TorchQuantize
from .queue import HostQueue, queue_of
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
        self.notes = (
            _index_note(self._queue),
            "entropy coding: on the host, in the stream's order",
        )


def _index_note(queue: Queue) -> str:
    """What happens to index tensors, for people."""
    if isinstance(queue, HostQueue):
        return "index tensors are always checked"
    checked = "index tensors on the host are always checked; those on the device are "
    if queue.callbacks and not reads_back():
        return (
            checked + "masked where out of range, which the stream's next synchronisation reports; "
            f"not checked for repeats ({CHECK_VARIABLE}=1: read back)"
        )
    return checked + "read back and checked before a call does anything"
