"""KV-cache kernels: moving tokens and blocks between caches of any layout, and all the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ..capabilities import Capability
from .kv_coding import KVCoding
from .kv_convert import KVConvert
from .kv_quantize import KVQuantize
from .kv_rope import KVRope
from .kv_upload import KVUpload

if TYPE_CHECKING:
    import torch

    from ..kv import KVCache
    from ..kv.plan import Grain
    from .streams import Stream

__all__ = ["KVKernels"]


class KVKernels(KVConvert, KVQuantize, KVRope, KVCoding, KVUpload):
    """KV-cache kernels. Capabilities: ``KV*``.

    Common to the methods of this class, which move data:

    * Work is queued on ``stream`` (the current stream if None); caches and tensors are kept alive
      until it has run. Payload moves as bytes: exact for every dtype.
    * Index tensors are 1-D int32 or int64. A negative index is padding: the pair is skipped and
      its destination untouched. No index at all is a no-op. Index tensors on the host are read
      before the call returns and must be complete by then.
    * Errors are raised before anything is written: SlotError for an index past the end,
      OverlapError for a destination named twice or a unit that is both read and written,
      LayoutError/SizeError/DTypeError when the caches do not hold the same thing, DeviceError,
      FreedError for tensors that lost their memory. Host index tensors are always checked; device
      index tensors where the backend says so (``notes``).
    * Source and destination may share an allocation as long as no byte is both read and written.
    """

    area: ClassVar[str] = "kv"

    def transfer(
        self,
        src: KVCache,
        dst: KVCache,
        src_slots: torch.Tensor,
        dst_slots: torch.Tensor,
        *,
        grain: Grain = "token",
        stream: Stream | None = None,
    ) -> None:
        """Copy slot ``src_slots[i]`` of ``src`` to slot ``dst_slots[i]`` of ``dst``, all layers.

        The caches may have any two layouts with the same layers, planes, dtype and elements per
        token, and lie on this device or in host memory.

        Args:
            src_slots, dst_slots: ``[n]``; tokens (``block * block_size + offset``), or blocks at
                block grain. A source may repeat.
            grain: ``"block"`` moves whole blocks; both caches then have the same block size (a
                flat cache of block size 1 adopts the other's).
        """
        raise self.unsupported(
            Capability.KV_TRANSFER if grain == "token" else Capability.KV_TRANSFER_BLOCKS
        )

    def write(
        self,
        cache: KVCache,
        layer: int,
        key: torch.Tensor,
        value: torch.Tensor | None,
        slot_mapping: torch.Tensor,
        *,
        key_scale: float | torch.Tensor | None = None,
        value_scale: float | torch.Tensor | None = None,
        stream: Stream | None = None,
    ) -> None:
        """Write new tokens of one layer: row i of ``key`` and ``value`` to ``slot_mapping[i]``.

        (reshape-and-cache.) With ``key_scale``, as fp8 or int8 codes: the arithmetic is that of
        :class:`KVConvert`. Capability: ``KV_WRITE``, with scales ``KV_WRITE_QUANTIZED``.

        Args:
            key: ``[tokens, heads, head_dim]`` or ``[tokens, elements]``, any strides, the cache's
                dtype. ``tokens`` may exceed ``len(slot_mapping)``; the rest is ignored. With a
                scale float16, bfloat16 or float32, and the cache is float8_e4m3fn, float8_e5m2 or
                int8 (a cache kept as uint8 is given as a view of that dtype).
            value: as ``key``. For a cache of one plane it is None, or the second part of the head
                dim: latent and rope of MLA, K and V of packed content.
            slot_mapping: ``[n]``, n <= tokens.
            key_scale, value_scale: what a code is multiplied by to get the value back; both, or
                with no ``value`` the first. A number, or float32 ``[]`` or ``[1]``, per head
                ``[heads]``, per token ``[tokens, 1]``, or ``[tokens, heads]``; tokens are the
                key's, heads the cache's (1 without an axis H). In host memory they are read, and
                checked to be finite and above 0 (those of tokens that are not written apart),
                before the call returns.

        Raises:
            ShapeError: ``slot_mapping`` longer than ``key``; extents that do not fit the cache.
            ArgumentError: one scale without the other; a scale that is not finite and above 0.
            DTypeError: scales for a cache that does not hold codes, or for a key of codes.
        """
        plain = key_scale is None and value_scale is None
        raise self.unsupported(Capability.KV_WRITE if plain else Capability.KV_WRITE_QUANTIZED)

    def copy_blocks(
        self, cache: KVCache, block_mapping: torch.Tensor, *, stream: Stream | None = None
    ) -> None:
        """Copy block ``block_mapping[i, 0]`` to block ``block_mapping[i, 1]``, in every layer.

        Args:
            block_mapping: ``[n, 2]``. A source may repeat (copy-on-write of one block to many).
        """
        raise self.unsupported(Capability.KV_COPY_BLOCKS)

    def swap_blocks(
        self,
        src: KVCache,
        dst: KVCache,
        block_mapping: torch.Tensor,
        *,
        stream: Stream | None = None,
    ) -> None:
        """Copy blocks between two caches (swap out, swap in): ``[n, 2]`` of (src, dst) blocks.

        The engines' name for :meth:`transfer` at block grain; nothing is exchanged.
        """
        raise self.unsupported(Capability.KV_SWAP_BLOCKS)

    def gather(
        self,
        src: KVCache,
        dst: KVCache,
        block_table: torch.Tensor,
        seq_lens: torch.Tensor,
        *,
        seq_starts: torch.Tensor | None = None,
        stream: Stream | None = None,
    ) -> None:
        """Copy sequences out of a paged cache into consecutive slots of ``dst``.

        Token ``seq_starts[i] + j`` of sequence i goes to slot ``sum(seq_lens[:i]) + j``.

        Args:
            block_table: ``[batch, max_blocks]`` blocks of ``src``; entries beyond a sequence's end
                are not read; a negative entry within it leaves its slots of ``dst`` untouched.
            seq_lens: ``[batch]`` tokens to take of each sequence.
            seq_starts: ``[batch]`` first token of each; 0 if None.

        Raises:
            SlotError: a sequence longer than its row of the table, more tokens than ``dst`` has
                slots, a block past the end of ``src``.
        """
        raise self.unsupported(Capability.KV_GATHER)
