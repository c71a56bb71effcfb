"""Small uploads: metadata of a step."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ..capabilities import Capability
from .base import Provider

if TYPE_CHECKING:
    import torch

    from .streams import Stream

__all__ = ["KVUpload"]


class KVUpload(Provider):
    """Uploading the metadata of a step. Capability: ``KV_UPLOAD``."""

    area: ClassVar[str] = "kv"

    def upload_small(
        self, dst: torch.Tensor, src: torch.Tensor, *, stream: Stream | None = None
    ) -> None:
        """Copy a few numbers from the host to the device: slot mappings, lengths, block tables.

        ``src`` is read before the call returns and may be changed at once: up to 4 KiB travel in
        the arguments of a kernel launch where the device has that, so that no copy engine and no
        pinned buffer is involved; more of them through pinned memory that is the backend's. Any
        length works; the call does not wait for the device unless that memory is all in flight.

        Args:
            dst: on the device, contiguous; written in stream order.
            src: in host memory, any strides; the same dtype (int32, int64, float32 or float64) and
                shape.

        Raises:
            DTypeError, ShapeError, DeviceError, FreedError: not such tensors.
            OverlapError: they share memory.
        """
        raise self.unsupported(Capability.KV_UPLOAD)
